# Division, remainder, rounding
SELECT 7 / 2, -7 / 2, 7 % 3, -7 % 3, 7 / 2.0, 2 ^ 10, 5 # 3, 6 & 3, 6 | 3, ~5, 1 << 4, 256 >> 2
SELECT div(7, 2), div(-7, 2), mod(7, 3), mod(-7, 3), abs(-5), sign(-2.5), |/ 16.0, cbrt(27.0)
SELECT round(2.5), round(-2.5), round(2.345, 2), trunc(2.789, 1), trunc(-2.7), ceil(2.1), floor(-2.1), round(1234.5, -2)
SELECT power(2, 3), sqrt(2.0), exp(1.0), ln(2.0), log(100), log(2, 8), pi(), degrees(1), radians(180), sin(1), atan2(1, 2)
SELECT 1.10 = 1.1, 0.1 + 0.2 = 0.3, 1 / 3.0 > 0.333, 1e3 = 1000
SELECT greatest(1, NULL, 3), least(2, NULL, 1), coalesce(NULL, 5), nullif(3, 3), nullif(3, 4), gcd(12, 18), lcm(4, 6)
SELECT factorial(5), acos(0.5), asin(0.5), atan(1), cos(1), tan(1), cot(1)
# Casts
SELECT CAST(2.5 AS INT), CAST(-2.5 AS INT), CAST(3.5 AS INT), CAST('12' AS INT), CAST(12 AS TEXT), CAST(true AS INT)
SELECT 1.23456::numeric, 1.23456::numeric(4, 2), '1.5'::numeric, 1::numeric(5, 1), 2.345::decimal(10, 2)
SELECT 'abcdef'::varchar(3), 'abcdef'::char(2), 'ab'::varchar(5), 'abc'::text, 'x'::char
SELECT 0.1::real = 0.1, 0.5::real = 0.5, 0.1::float = 0.1, 0.1::double precision = 0.1::real
SELECT '2020-02-29'::date, '2020-02-29 10:11:12'::timestamp, '2020-02-29 10:11:12+02'::timestamptz, '10:11:12'::time
SELECT 'true'::boolean, 'f'::boolean, '00000000-0000-0000-0000-00000000000A'::uuid::text, '\xDEAD'::bytea, 'abc'::bytea
SELECT e'a\'b\\c\x41\u00e9', 'a\b', $$it's$$, $q$a$b$q$, U&'d\0061t\+000061', 'it''s'
# Text
SELECT substring('hello', 2, 3), substring('hello' FROM 2), substring('hello' FOR 2), substring('hello', 0, 3), substring('hello', -1, 4), substring('hello', -5, 3), substring('hello', 10), substr('hello', 2)
SELECT substring('hello', n, 3), substring('hello', n), substring('hello', 2, n) FROM (VALUES (0), (1), (2), (4), (9), (NULL)) v(n)
SELECT left('hello', 2), left('hello', -2), right('hello', 2), right('hello', -2), lpad('x', 3), lpad('x', 3, 'ab'), rpad('xyz', 2), repeat('ab', 2)
SELECT length('häß'), char_length('häß'), octet_length('häß'), bit_length('ä'), upper('aö'), lower('AÄ'), reverse('äb'), ascii('ä'), chr(228)
SELECT trim('  a '), trim(BOTH 'x' FROM 'xax'), ltrim('  a'), rtrim('a  '), btrim('xyaxy', 'xy'), ltrim('xxa', 'x')
SELECT position('l' IN 'hello'), strpos('hello', 'z'), split_part('a,b,c', ',', 2), split_part('a,b', ',', 5), replace('aXbX', 'X', '-'), translate('12345', '143', 'ax')
SELECT concat('a', NULL, 1), 'a' || NULL, 'a' || 1, concat_ws('-', 'a', NULL, 'b'), starts_with('hello', 'he'), 'hello' ^@ 'he'
SELECT 'abc' LIKE 'a%', 'a%c' LIKE 'a\%c', 'abc' LIKE 'a\%c', 'a%c' LIKE 'a!%c' ESCAPE '!', 'a\c' LIKE 'a\c' ESCAPE '', 'ABC' ILIKE 'a_c', 'abc' NOT LIKE 'a_', 'a_c' ILIKE 'A\_C'
SELECT x LIKE p FROM (VALUES ('a%c', 'a\%c'), ('abc', 'a\%c'), ('a_', 'a\_'), ('ab', 'a_')) v(x, p)
SELECT 'abc' ~ '^a.c$', 'ABC' ~* 'b', 'abc' !~ 'x', 'abc' !~* 'B', regexp_replace('aaa', 'a', 'b'), regexp_replace('aAa', 'a', 'b', 'g'), regexp_replace('aAa', 'a', 'b', 'gi')
SELECT to_hex(255), md5('abc'), encode('\xdead'::bytea, 'hex'), decode('dead', 'hex'), encode('\xdead'::bytea, 'base64'), sha256('\x00'::bytea)
SELECT 'a' < 'B', 'a' = 'a ', '' = ' ', 'Z' < 'a', 'ä' > 'z'
# Dates and times
SELECT DATE '2020-01-31' + INTERVAL '1 month', DATE '2020-03-31' - INTERVAL '1 month', DATE '2020-02-29' + INTERVAL '1 year', TIMESTAMP '2020-01-01 00:00' + INTERVAL '36 hours'
SELECT DATE '2020-03-01' - DATE '2020-02-01', DATE '2020-01-01' + 31, DATE '2020-01-01' - 1, TIMESTAMP '2020-01-01' + INTERVAL '1 year 2 months 3 days 04:05:06', DATE '2020-01-01' + INTERVAL '2 weeks'
SELECT extract(year FROM d), extract(month FROM d), extract(day FROM d), extract(hour FROM d), extract(minute FROM d), extract(second FROM d), extract(milliseconds FROM d), extract(microseconds FROM d) FROM (VALUES (TIMESTAMP '2020-02-29 13:14:15.678901')) v(d)
SELECT extract(dow FROM d), extract(isodow FROM d), extract(doy FROM d), extract(week FROM d), extract(quarter FROM d), extract(isoyear FROM d), extract(century FROM d), extract(decade FROM d), extract(millennium FROM d), extract(epoch FROM d) FROM (VALUES (DATE '2020-12-27'), (DATE '2021-01-03'), (DATE '1999-12-31'), (DATE '2000-01-01')) v(d)
SELECT date_part('year', DATE '2020-05-06'), date_part('second', TIMESTAMP '2020-01-01 00:00:01.5'), date_part('dow', DATE '2020-05-06')
SELECT date_trunc('month', TIMESTAMP '2020-05-06 07:08:09'), date_trunc('week', TIMESTAMP '2020-05-06 07:08:09'), date_trunc('quarter', TIMESTAMP '2020-05-06 07:08:09'), date_trunc('hour', TIMESTAMP '2020-05-06 07:08:09'), date_trunc('decade', TIMESTAMP '2025-05-06')
SELECT to_char(TIMESTAMP '2020-05-06 17:08:09', 'YYYY-MM-DD HH24:MI:SS'), to_char(DATE '2020-05-06', 'DD.MM.YYYY'), to_char(DATE '2020-05-06', 'YY/MM'), to_date('06.05.2020', 'DD.MM.YYYY'), to_timestamp('2020-05-06 17:08:09', 'YYYY-MM-DD HH24:MI:SS')
SELECT TIMESTAMP '2020-07-01 12:00' AT TIME ZONE 'Europe/Berlin', TIMESTAMPTZ '2020-07-01 12:00+00' AT TIME ZONE 'America/New_York', to_timestamp(0)
SELECT make_date(2020, 2, 29), make_timestamp(2020, 1, 2, 3, 4, 5.5), DATE '2020-01-01' < TIMESTAMP '2020-01-01 00:00:01', TIME '10:00' < TIME '10:00:01'
SELECT TIMESTAMP '2020-01-01' + age(TIMESTAMP '2020-03-01', TIMESTAMP '2020-01-15'), INTERVAL '1 day' * 3 + DATE '2020-01-01', DATE '2020-01-01' + INTERVAL '90 minutes'
SELECT date_bin('15 minutes', TIMESTAMP '2020-02-11 15:44:17', TIMESTAMP '2001-01-01')
SELECT g FROM generate_series(DATE '2020-01-01', DATE '2020-01-03', INTERVAL '1 day') AS g
# NULL, Boolean, comparison
SELECT NULL = NULL, NULL IS NULL, 1 IS DISTINCT FROM NULL, NULL IS NOT DISTINCT FROM NULL, true AND NULL, false AND NULL, true OR NULL, NOT NULL::boolean
SELECT 1 IN (1, NULL), 2 IN (1, NULL), 2 NOT IN (1, NULL), 1 = ANY (ARRAY[1, 2]), 3 = ALL (SELECT 3), 1 <> ALL (SELECT 2), 2 BETWEEN 1 AND 3, 2 BETWEEN SYMMETRIC 3 AND 1
SELECT (1, 2) = (1, 2), (1, 2) < (1, 3), (1, NULL) = (2, NULL), (1, 2) IN ((1, 2), (3, 4))
SELECT (1, NULL) > (1, 2), (2, NULL) > (1, 2), (NULL, 1) > (1, 2), (1, 2) > (1, NULL), (1, 2, 3) <= (1, 2, 3), (1, 2, 3) < (1, 2, 3), (0, NULL) >= (1, 2)
SELECT n, m FROM (VALUES (1, 1), (1, 3), (2, 1), (NULL, 3), (1, NULL), (2, NULL), (0, 9)) v(n, m) WHERE (n, m) > (1, 2)
SELECT n, m FROM (VALUES (1, 1), (1, 3), (2, 1), (NULL, 3), (1, NULL), (2, NULL), (0, 9)) v(n, m) WHERE NOT (n, m) > (1, 2)
SELECT starts_with('abc', 'ab'), 'abc' ^@ 'bc', strpos('abcb', 'b'), position('' IN 'abc'), strpos('abc', 'z'), starts_with('abc', '')
SELECT b IS TRUE, b IS NOT TRUE, b IS FALSE, b IS UNKNOWN, b ISNULL FROM (VALUES (true), (false), (NULL)) v(b)
SELECT CASE WHEN n > 1 THEN 'big' WHEN n = 1 THEN 'one' END, CASE n WHEN 1 THEN 'x' ELSE 'y' END FROM (VALUES (1), (2), (0), (NULL)) v(n)
# Aggregates and windows
SELECT count(*), count(n), sum(n), avg(n), min(n), max(n), count(DISTINCT n), sum(DISTINCT n) FROM (VALUES (1), (2), (2), (NULL)) v(n)
SELECT sum(n), avg(n), max(n), count(*) FROM (VALUES (1)) v(n) WHERE n > 5
SELECT avg(d), sum(d), min(d) FROM (VALUES (1.50), (2.25), (NULL)) v(d)
SELECT string_agg(s, ',' ORDER BY s DESC), string_agg(DISTINCT s, '-' ORDER BY s), array_agg(s ORDER BY s) FROM (VALUES ('b'), ('a'), ('b')) v(s)
SELECT bool_and(n > 0), bool_or(n > 2), every(n > 1), bit_and(n), bit_or(n) FROM (VALUES (1), (2), (3)) v(n)
SELECT stddev(n), stddev_pop(n), variance(n), var_pop(n), var_samp(n), corr(n, m), covar_pop(n, m), covar_samp(n, m), regr_slope(n, m), regr_count(n, m), regr_r2(n, m) FROM (VALUES (1, 2), (2, 3), (4, 7)) v(n, m)
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY n), percentile_disc(0.5) WITHIN GROUP (ORDER BY n), percentile_disc(0.25) WITHIN GROUP (ORDER BY n DESC), mode() WITHIN GROUP (ORDER BY n) FROM (VALUES (1), (2), (2), (7)) v(n)
SELECT count(*) FILTER (WHERE n > 1), sum(n) FILTER (WHERE n > 9) FROM (VALUES (1), (2), (3)) v(n)
SELECT n, row_number() OVER (ORDER BY n, m), rank() OVER (ORDER BY n), dense_rank() OVER (ORDER BY n), lag(n) OVER (ORDER BY n, m), lead(n, 1, 0) OVER (ORDER BY n, m), first_value(m) OVER (PARTITION BY n ORDER BY m), ntile(2) OVER (ORDER BY n, m), cume_dist() OVER (ORDER BY n), percent_rank() OVER (ORDER BY n) FROM (VALUES (1, 1), (1, 2), (2, 3)) v(n, m)
SELECT n, sum(n) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), sum(n) OVER (ORDER BY n RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING), avg(n) OVER w, last_value(n) OVER w, nth_value(n, 2) OVER w FROM (VALUES (1), (2), (4)) v(n) WINDOW w AS (ORDER BY n)
SELECT n, m, count(*), grouping(n) FROM (VALUES (1, 1), (1, 2), (2, 2)) v(n, m) GROUP BY ROLLUP (n, m)
SELECT n, m, count(*) FROM (VALUES (1, 1), (1, 2), (2, 2)) v(n, m) GROUP BY GROUPING SETS ((n), (m), ())
# Order and limits
SELECT n FROM (VALUES (2), (NULL), (1)) v(n) ORDER BY n LIMIT 2
SELECT n FROM (VALUES (2), (NULL), (1)) v(n) ORDER BY n DESC LIMIT 2
SELECT n FROM (VALUES (2), (NULL), (1)) v(n) ORDER BY n NULLS FIRST LIMIT 2
SELECT n FROM (VALUES (3), (1), (2)) v(n) ORDER BY n OFFSET 1 ROW FETCH NEXT 1 ROW ONLY
SELECT DISTINCT ON (n) n, m FROM (VALUES (1, 2), (1, 1), (2, 5)) v(n, m) ORDER BY n, m
SELECT s FROM (VALUES ('b'), ('A'), ('a'), ('B'), ('ä')) v(s) ORDER BY s COLLATE "C" LIMIT 3
# Names of columns
SELECT count(*), sum(n), n + 1, upper('a'), 'x', CAST(n AS TEXT), CAST('1' AS INT), coalesce(n, 1), CASE WHEN true THEN 1 END, true, NULL, EXISTS (SELECT 1), (SELECT 5 AS k), now() IS NULL FROM (VALUES (1)) v(n) GROUP BY n
SELECT column1, column2 FROM (VALUES (1, 'a')) v
SELECT * FROM (VALUES (1, 'a')) v
SELECT count FROM (SELECT count(*) FROM (VALUES (1)) v) q
SELECT n FROM generate_series(1, 3) AS n
SELECT q.a, q.n FROM unnest(ARRAY['x', 'y']) WITH ORDINALITY AS q(a, n)
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT sum(n) FROM r
SELECT a.n, b.m FROM (VALUES (1), (2)) a(n) LEFT JOIN LATERAL (SELECT a.n * 10 AS m WHERE a.n > 1) b ON true
SELECT n FROM (VALUES (1), (2)) a(n) INTERSECT SELECT m FROM (VALUES (2), (3)) b(m)
SELECT (ARRAY[10, 20, 30])[2], ARRAY[1, 2] || ARRAY[3], cardinality(ARRAY[1, 2]), array_length(ARRAY[1, 2], 1), array_to_string(ARRAY['a', 'b'], ','), string_to_array('a,b', ','), ARRAY(SELECT g FROM generate_series(1, 2) AS g)
SELECT '{"a": {"b": [1, "x"]}}'::json -> 'a' -> 'b' ->> 1, '{"a": null}'::json ->> 'a', json_array_length('[1, 2]'::json), '[1, 2]'::json ->> 0
VALUES (1, 'a'), (2, 'b')
