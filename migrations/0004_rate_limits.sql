-- The quota that all workers share, and what was learnt of it.

create table rate_limits (
    account text not null,
    region text not null,
    operation text not null,
    ceiling double precision not null,
    rate double precision not null,
    noted_rate double precision not null,
    clean_seconds double precision not null default 0,
    cut_at timestamptz not null default clock_timestamp(),
    next_free timestamptz not null,
    primary key (account, region, operation),
    constraint rate_lies_below_its_ceiling check (rate > 0 and rate <= ceiling)
);
comment on table rate_limits is 'Calls a second of each account, region and operation, from which every worker leases places in time.';
comment on column rate_limits.account is 'AWS account id.';
comment on column rate_limits.region is 'AWS region.';
comment on column rate_limits.operation is 'AWS call.';
comment on column rate_limits.ceiling is 'The configured rate, in calls a second.';
comment on column rate_limits.rate is 'The learnt rate, in calls a second: cut by throttles, raised by places that were leased since without one.';
comment on column rate_limits.noted_rate is 'The rate of the last row of rate_changes.';
comment on column rate_limits.clean_seconds is 'Leased time since the last cut, in seconds.';
comment on column rate_limits.cut_at is 'When a throttle last cut the rate; one of a place that was granted before it says nothing new.';
comment on column rate_limits.next_free is 'The instant from which on places are free.';

create table rate_changes (
    account text not null,
    region text not null,
    operation text not null,
    id bigint generated always as identity,
    at timestamptz not null default clock_timestamp(),
    rate double precision not null,
    reason text not null,
    primary key (account, region, operation, id),
    constraint reason_is_known check (reason in ('configured', 'throttled', 'unthrottled'))
);
comment on table rate_changes is 'The last hundred changes of each learnt rate: every cut, and each rise of a twentieth.';
comment on column rate_changes.account is 'AWS account id.';
comment on column rate_changes.region is 'AWS region.';
comment on column rate_changes.operation is 'AWS call.';
comment on column rate_changes.id is 'Tells the order.';
comment on column rate_changes.at is 'When it changed.';
comment on column rate_changes.rate is 'The rate from then on, in calls a second.';
comment on column rate_changes.reason is 'Why: configured anew, a throttle, or none for a while.';
