-- Probes are few: each quota has a budget for those of all holds, and a hold that stays is probed ever less often.

alter table holds add column n_probes integer not null default 0;
comment on column holds.n_probes is 'How often a job was let through. The next one waits the longer.';

alter table rate_limits add column next_probe timestamptz;
comment on column rate_limits.next_probe is 'When the next probe of a hold may use a call. Null: none has yet.';
