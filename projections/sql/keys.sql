-- one row a key: whose it is, what it may do, and from where on
-- Ordered by position, which is unique. A key is valid from the commit after this one on; the genesis keys from the start.
CREATE VIEW keys AS
SELECT
  position,
  make_timestamptz(time_us)                    AS time,
  payload->>'$.key'                            AS key,     -- SHA-256 of the public key
  payload->>'$.role'                           AS role,    -- author or log
  TRY_CAST(payload->>'$.admin' AS BOOLEAN)     AS admin,   -- may register other keys
  payload->>'$.name'                           AS name,    -- the C2SP verifier key
  payload->>'$.public'                         AS public,
  author                                       AS registered_by,
  lower(hex(hash))                             AS hash
FROM entries
WHERE type = 'key.registered/1'
ORDER BY position;
