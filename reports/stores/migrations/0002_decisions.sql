-- What people decided: lines of decisions.jsonl, never changed, each once.
CREATE TABLE tunebench.decisions (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    line_sha256 text NOT NULL UNIQUE,
    line text NOT NULL,
    pushed_at timestamptz NOT NULL DEFAULT now()
);
