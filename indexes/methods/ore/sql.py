"""The keyless comparison as a function for PostgreSQL 13 or newer, under the mask `sha256`.

It uses nothing but built-in functions, stops at the first block that differs, and fails on what no client
makes: on a token as data exception (22000), on a ciphertext as corrupted data (XX001).
"""

from __future__ import annotations

from typing import Final

FUNCTION: Final = "ore_compare"

COMPARE: Final = r"""
CREATE FUNCTION {name}(token bytea, ciphertext bytea) RETURNS integer
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $body$
DECLARE
    blocks constant integer := (length(token) - 4) / 17;
    nonce constant bytea := substring(ciphertext FROM 1 FOR 16);
    slot integer;
    cell integer;
BEGIN
    IF get_byte(token, 0) <> 1 OR get_byte(token, 1) <> 1 OR get_byte(token, 2) <> 4
        OR length(token) <> 4 + 17 * blocks OR blocks <> get_byte(token, 3) / 4 THEN
        RAISE EXCEPTION USING ERRCODE = 'data_exception', MESSAGE = 'no token of this mask';
    END IF;
    IF length(ciphertext) <> 16 + 4 * blocks THEN
        RAISE EXCEPTION USING ERRCODE = 'data_corrupted', MESSAGE = 'no value of this index';
    END IF;
    FOR block IN 0 .. blocks - 1 LOOP
        slot := get_byte(token, 4 + 17 * block);
        IF slot > 15 THEN
            RAISE EXCEPTION USING ERRCODE = 'data_exception', MESSAGE = 'no token of this mask';
        END IF;
        cell := ((get_byte(ciphertext, 16 + 4 * block + slot / 4) >> (2 * (slot % 4))) & 3)
            # (get_byte(sha256('\x656e6364622d6f726531'::bytea
                || substring(token FROM 6 + 17 * block FOR 16) || nonce), 0) & 3);
        IF cell = 1 THEN
            RETURN -1;
        ELSIF cell = 2 THEN
            RETURN 1;
        ELSIF cell = 3 THEN
            RAISE EXCEPTION USING ERRCODE = 'data_corrupted', MESSAGE = 'no value of this index';
        END IF;
    END LOOP;
    RETURN 0;
END
$body$
"""
"""Format with the function's qualified and quoted name."""
