"""Order-revealing encryption of Lewi and Wu, right ciphertexts only (ACM CCS 2016, ePrint 2016/612).

    types    sizes of tokens and ciphertexts, and how they are laid out
    client   encryption and tokens, with keys
    server   keyless comparison of a token with ciphertexts
    sql      the same comparison as a function for PostgreSQL

A number of n bits is cut into blocks of w bits. A stored ciphertext holds, for each block and each value
that the block might have, whether that value equals, precedes or follows the block's own, in a pseudorandom
order and under a mask. A token unmasks one slot a block, up to the first block that differs.

Guarantee: ciphertexts alone order nothing; without a token each slot is masked by a PRF of the slot and of a
random number of the ciphertext.

What it leaks, per token and per stored row, whether written before or after: their order and the first
block in which they differ. Two tokens show how many leading blocks they share. Every range reads the
whole column, so which rows match is seen by the store.
"""
