-- one row a signature (or the decision not to sign): backend, key, and the documents that carry it
-- Ordered by position, which is unique.
CREATE VIEW signatures AS
WITH carried AS (
  SELECT s.position, list(r.payload->>'$.sha256' ORDER BY r.position) AS documents
  FROM entries AS s JOIN entries AS r ON r.command = s.command AND r.position > s.position
  WHERE s.type IN ('document.signed/1', 'document.signed/2') AND r.type = 'document.rendered/1'
    AND list_contains((r.payload->>'$.streams')::VARCHAR[], s.stream)
    AND ((r.payload->>'$.kind') LIKE 'attestation%' OR (r.payload->>'$.kind') LIKE '%.statement' OR (r.payload->>'$.kind') = 'model-signature')
  GROUP BY s.position
)
SELECT
  s.position,
  make_timestamptz(s.time_us)                                      AS time,
  coalesce(s.payload->>'$.backend', if((s.payload->>'$.key') IS NULL, 'unsigned', 'ed25519')) AS backend,
  s.payload->>'$.key'                                              AS key,          -- NULL: unsigned
  s.payload->>'$.identity'                                         AS identity,     -- of a Sigstore certificate, redacted
  s.payload->>'$.payload_type'                                     AS payload_type,
  s.payload->>'$.payload_sha256'                                   AS payload_sha256,
  (s.payload->>'$.bundle') IS NOT NULL                             AS logged_outside, -- a transparency log has answered
  m.name                                                           AS model,        -- whose files it signs (OpenSSF Model Signing)
  c.documents,                                                     -- SHA-256 of the envelopes and bundles: a list
  s.command                                                        AS command_id,
  lower(hex(s.hash))                                               AS hash
FROM entries AS s LEFT JOIN carried AS c ON c.position = s.position
LEFT JOIN (SELECT command, any_value(payload->>'$.name') AS name FROM entries
           WHERE type = 'model_signature.declared/1' GROUP BY command) AS m ON m.command = s.command
WHERE s.type IN ('document.signed/1', 'document.signed/2')
ORDER BY s.position;
