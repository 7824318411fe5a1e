"""The ledger room: bytes, hashes, signatures, order and durability.

It imports none of ours. What leaves it is either verified or says that it is not. The byte format is specified in
`ledger/README.md`; the worked example there is executed by the tests.
"""
