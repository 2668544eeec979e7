-- What operators ask and do: the certificates themselves, replays, what was done by whom, what the queues were last read as.

-- `not valid`: every older row keeps these rules already, so nothing needs to be looked through under a lock.
alter table registrations
    add column serial bytea,
    add column certificate bytea,
    add column replay bigint,
    drop constraint status_is_known,
    add constraint status_is_known
        check (status in (
            'registered', 'already_registered', 'rejected', 'refused', 'exhausted', 'parked', 'gone'
        ))
        not valid,
    add constraint only_a_good_end_keeps_the_certificate
        check (status in ('registered', 'already_registered') or certificate is null)
        not valid;
comment on column registrations.serial is 'Serial number of the certificate, big-endian, as it stands in the DER. Null: none can be read, or an older program wrote the row.';
comment on column registrations.certificate is 'The certificate in DER, kept of a good end so that it can be shown and sent again; of other ends the request has it.';
comment on column registrations.replay is 'The last replay that chose this row. Null: none did.';

-- Answers "which device has this serial number".
create index certificates_of_a_serial on registrations (serial) where serial is not null;

-- Answers "what became of this device", as the line calls it.
create index devices_of_a_ref on registrations (ref) where ref is not null;

-- Answers "how did this certificate fail", whichever batch brought it; `known_certificates` has the others.
create index failures_of_a_certificate on registrations (subject)
    where status not in ('registered', 'already_registered');

create table replays (
    replay bigint generated always as identity primary key,
    filter text not null,
    verify boolean not null,
    asked_by text not null,
    asked_at timestamptz not null default now(),
    n_expected bigint not null,
    n_chosen bigint not null default 0,
    n_sent bigint not null default 0,
    last_batch text,
    last_code text,
    last_subject bytea,
    last_target text,
    last_operation text,
    chosen_at timestamptz,
    cancelled_at timestamptz,
    cancelled_by text,
    ended_at timestamptz,
    constraint counts_are_not_negative check (n_expected >= 0 and n_chosen >= 0 and n_sent >= 0)
);
comment on table replays is 'What people asked to be sent again, and how far that is.';
comment on column replays.replay is 'Number of the replay.';
comment on column replays.filter is 'What it chooses, as JSON with its keys in order.';
comment on column replays.verify is 'Its jobs insist on AWS''s own answer.';
comment on column replays.asked_by is 'Who asked for it.';
comment on column replays.asked_at is 'When; what ended later is not chosen.';
comment on column replays.n_expected is 'How many jobs it was to choose when it was asked for.';
comment on column replays.n_chosen is 'How many it chose.';
comment on column replays.n_sent is 'How many of those SQS took.';
comment on column replays.last_batch is 'Where choosing stands: batch of the last row that was looked at. Null: nowhere yet.';
comment on column replays.last_code is 'Code that is being looked through.';
comment on column replays.last_subject is 'Subject of the last row that was looked at.';
comment on column replays.last_target is 'Its target.';
comment on column replays.last_operation is 'Its operation.';
comment on column replays.chosen_at is 'When every row was looked at. Null: there are more.';
comment on column replays.cancelled_at is 'When somebody cancelled it.';
comment on column replays.cancelled_by is 'Who did.';
comment on column replays.ended_at is 'When all that it chose was sent, or it was cancelled. Null: it is under way.';

-- Pressing twice is one replay.
create unique index one_replay_of_a_kind on replays (md5(filter), verify) where ended_at is null;

-- Answers "what came of this replay".
create index chosen_by_a_replay on registrations (replay, status, code) where replay is not null;

create table audit (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    who text not null,
    action text not null,
    what text not null,
    detail jsonb not null
);
comment on table audit is 'What people did.';
comment on column audit.id is 'Tells the order.';
comment on column audit.at is 'When.';
comment on column audit.who is 'User and host.';
comment on column audit.action is 'The command, for example `replay` or `pause`.';
comment on column audit.what is 'What it was done to: a batch, a hold, a queue.';
comment on column audit.detail is 'How, and what came of it.';

create table queue_readings (
    queue text primary key,
    read_at timestamptz not null,
    empty_since timestamptz
);
comment on table queue_readings is 'What the workers last read of their queues: whether anything is on its way.';
comment on column queue_readings.queue is 'URL of the main queue; the second one is read with it.';
comment on column queue_readings.read_at is 'When it was last read.';
comment on column queue_readings.empty_since is 'Since when every reading found both empty, what is in flight or delayed included. Null: the last one did not.';
