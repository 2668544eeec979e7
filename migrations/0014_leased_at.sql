-- A clock that was set back is noticed by the instant of the last lease, and what was leased ahead goes back with it.

alter table rate_limits add column leased_at timestamptz;
comment on column rate_limits.leased_at is 'When places were last leased. Null: never, or by an older version only.';
