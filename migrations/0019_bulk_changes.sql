-- Changes of many things at once: planned, confirmed, carried out by one process, and followed by operators.

create table bulk_changes (
    id text primary key,
    action text not null,
    filter text not null,
    n_expected bigint not null,
    is_more boolean not null,
    planned_by text not null,
    planned_at timestamptz not null default now(),
    begun_by text,
    begun_at timestamptz,
    replay bigint,
    n_done bigint not null default 0,
    n_failed bigint not null default 0,
    runner_until timestamptz,
    cancelled_at timestamptz,
    cancelled_by text,
    ended_at timestamptz,
    result jsonb,
    error text,
    constraint bulk_action_is_known check (
        action in ('replay', 'quarantine replay', 'quarantine drop', 'dead replay', 'dead drop')
    ),
    constraint bulk_counts_are_not_negative check (n_expected >= 0 and n_done >= 0 and n_failed >= 0),
    constraint bulk_change_is_begun_as_a_whole check (
        (begun_at is null) = (begun_by is null) and (begun_at is null) = (runner_until is null)
    ),
    constraint only_a_begun_bulk_change_goes_on check (
        begun_at is not null or (replay is null and cancelled_at is null and ended_at is null)
    ),
    constraint bulk_change_is_cancelled_by_somebody check ((cancelled_at is null) = (cancelled_by is null))
);
comment on table bulk_changes is 'Changes of many things at once that operators planned, confirmed and can follow. Workers delete a plan that was not begun after a day, and any other row 31 days after its end.';
comment on column bulk_changes.id is '128 random bits in hexadecimal.';
comment on column bulk_changes.action is 'What is done to everything that matches, from a closed set.';
comment on column bulk_changes.filter is 'What it applies to, as JSON with its keys in order. Never changed after planning.';
comment on column bulk_changes.n_expected is 'Number of things that matched when it was planned.';
comment on column bulk_changes.is_more is 'Counting stopped at a maximum: there are more than n_expected.';
comment on column bulk_changes.planned_by is 'Who planned it.';
comment on column bulk_changes.planned_at is 'When it was planned. After an hour it can no longer be begun.';
comment on column bulk_changes.begun_by is 'Who confirmed it. Null: nobody did.';
comment on column bulk_changes.begun_at is 'When it was confirmed and begun. Null: it was not.';
comment on column bulk_changes.replay is 'Number of the replay that it started. Null: none.';
comment on column bulk_changes.n_done is 'Number of things changed so far.';
comment on column bulk_changes.n_failed is 'Number of things that could not be changed.';
comment on column bulk_changes.runner_until is 'Until when the process that carries it out counts as alive. Null: not begun.';
comment on column bulk_changes.cancelled_at is 'When an operator cancelled it. Its process stops at its next report.';
comment on column bulk_changes.cancelled_by is 'Who cancelled it.';
comment on column bulk_changes.ended_at is 'When its process was done with it. Null: it is not.';
comment on column bulk_changes.result is 'What came of it. Null: nothing was reported.';
comment on column bulk_changes.error is 'Why it failed. Null: it did not.';

-- Answers "which changes were begun last".
create index begun_bulk_changes on bulk_changes (begun_at, id) where begun_at is not null;
