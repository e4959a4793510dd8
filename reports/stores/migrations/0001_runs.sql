-- Runs, their small files, and their repetitions: a row a line of reps.jsonl, with the line itself.
CREATE TABLE tunebench.runs (
    run_id text PRIMARY KEY,
    lab text NOT NULL,
    digest text NOT NULL,            -- SHA-256 of run.json
    earlier text[] NOT NULL,         -- digests that it had before blocks were added
    path text NOT NULL,              -- below its results root
    place text NOT NULL,             -- date folders and id: what puts runs in order
    written_s double precision,      -- when its newest file was written, seconds since 1970
    torn bytea NOT NULL,             -- what stood behind the end of its last line; usually nothing
    repetitions bigint NOT NULL,
    pushed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tunebench.files (
    run_id text NOT NULL REFERENCES tunebench.runs ON DELETE CASCADE,
    name text NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (run_id, name)
);

CREATE TABLE tunebench.repetitions (
    of_run text NOT NULL REFERENCES tunebench.runs ON DELETE CASCADE,
    line_no bigint NOT NULL,
    run_id text, rep_id text, block bigint, attempt bigint, role text, lab text, board_id text, board_kind text,
    board_model text, emulated boolean, power_mode text, task text, method text, label text, aa_control boolean,
    engine text, engine_build text, device text, threads bigint, dtype text, seed bigint, series_key text,
    bench_version bigint, t_start_utc text, wall_s double precision, peak_rss_b double precision, outcome text,
    verdict text, energy_j double precision, energy_scope text, energy_source text, accuracy double precision,
    instructions double precision, payload_sha256 text, env_sha256 text,
    record json,                     -- the line, byte for byte
    raw bytea,                       -- the line, where it is no JSON
    PRIMARY KEY (of_run, line_no)
);

CREATE INDEX repetitions_by_series ON tunebench.repetitions (series_key, t_start_utc);
