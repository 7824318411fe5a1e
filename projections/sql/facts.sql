-- one row a facts file: what an operator stated about a model, as redacted and recorded
-- Ordered by position, which is unique.
CREATE VIEW facts AS
SELECT
  position,
  make_timestamptz(time_us)                        AS time,
  payload->>'$.sha256'                             AS file_sha256,  -- of the file as it was read
  payload->>'$.facts.considerations.intended_use'  AS intended_use,
  payload->>'$.facts.model.supplier.name'          AS supplier,
  (payload->'$.facts')::JSON                       AS facts,
  command                                          AS command_id,   -- join boms on it
  lower(hex(hash))                                 AS hash
FROM entries
WHERE type = 'facts.declared/1'
ORDER BY position;
