-- The rate from before a total throttle: a better guess for the time after it than what the cuts left.

alter table rate_limits
    add column good_rate double precision,
    add constraint good_rate_is_a_rate check (good_rate > 0);
comment on column rate_limits.good_rate is 'The rate at which calls last went through, as it was before the throttles that followed. Null: not known.';
