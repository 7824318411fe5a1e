-- one row a verification summary (SLSA VSA): an attestation examined under a policy, and the level it reached
-- Ordered by position, which is unique.
CREATE VIEW summaries AS
SELECT
  position,
  make_timestamptz(time_us)             AS time,      -- of the verification
  payload->>'$.subjects[0].name'        AS subject,
  payload->>'$.verifier'                AS verifier,
  payload->>'$.resource'                AS resource,
  (payload->'$.policy')::JSON           AS policy,
  (payload->'$.attestation')::JSON      AS attestation,
  payload->>'$.result'                  AS result,    -- PASSED or FAILED
  payload->>'$.levels[0]'               AS level,
  payload->>'$.reason'                  AS reason,
  command                               AS command_id,
  lower(hex(hash))                      AS hash
FROM entries
WHERE type = 'vsa.declared/1'
ORDER BY position;
