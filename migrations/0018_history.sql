-- What happened in each minute, for charts: outcomes and throttled calls of the last 31 days.

-- Each row is updated many times within its minute: the free space keeps these updates in its page (HOT).
create table minute_counts (
    minute timestamptz not null,
    target text not null,
    operation text not null,
    writer bigint not null,
    n_registered bigint not null default 0,
    n_already_registered bigint not null default 0,
    n_failed bigint not null default 0,
    n_parked bigint not null default 0,
    n_throttled bigint not null default 0,
    primary key (minute, target, operation, writer),
    constraint minute_counts_are_not_negative check (
        n_registered >= 0 and n_already_registered >= 0 and n_failed >= 0 and n_parked >= 0 and n_throttled >= 0
    )
) with (fillfactor = 80);
comment on table minute_counts is 'Outcomes and throttled calls of each minute, for charts. Workers delete rows that are older than 31 days.';
comment on column minute_counts.minute is 'Start of the minute, by the clock of the server.';
comment on column minute_counts.target is 'Name of the target.';
comment on column minute_counts.operation is 'AWS call.';
comment on column minute_counts.writer is 'Random number of the writer, so that no two writers contend for a row. 0: an outcome that no worker wrote.';
comment on column minute_counts.n_registered is 'Rows that became `registered` and were no success before.';
comment on column minute_counts.n_already_registered is 'Rows that became `already_registered` and were no success before.';
comment on column minute_counts.n_failed is 'Rows that newly got an outcome that is no success.';
comment on column minute_counts.n_parked is 'Rows that were newly parked.';
comment on column minute_counts.n_throttled is 'Calls that AWS throttled. A worker adds them every three seconds.';
