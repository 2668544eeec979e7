-- Parked jobs and what they wait for.

-- `not valid`: every older row keeps these rules already, so nothing needs to be looked through under a lock.
alter table registrations
    add column waits_for text,
    add column verify boolean not null default false,
    add column sent_again_at timestamptz,
    drop constraint status_is_known,
    add constraint status_is_known
        check (status in ('registered', 'already_registered', 'rejected', 'refused', 'exhausted', 'parked'))
        not valid,
    add constraint parked_keeps_its_request check (status <> 'parked' or request is not null) not valid;
comment on column registrations.waits_for is 'What must be over before the job is sent again: a row of holds. Null: nothing. Without meaning where there is no request, as an older program leaves it on a good end.';
comment on column registrations.verify is 'The job insists on AWS''s own answer.';
comment on column registrations.sent_again_at is 'When the job was last sent again. Null: it was not, or has ended since.';
comment on column registrations.message_id is 'MessageId of the first message that ended in this row, or of the one that sent the job again.';

-- Answers "which jobs wait for this", page by page.
create index waiting on registrations (waits_for, batch, target, operation, subject)
    where waits_for is not null and request is not null;

create table holds (
    hold text primary key,
    reason text not null,
    witness bytea,
    is_closed boolean not null,
    opened_at timestamptz not null default now(),
    probe_every interval not null,
    probe_at timestamptz not null,
    asked_at timestamptz,
    released_at timestamptz,
    sender_until timestamptz,
    constraint witness_has_32_bytes check (octet_length(witness) = 32)
);
comment on table holds is 'What parked jobs wait for: an issuer, a batch, a target. A row goes when its jobs have been sent again.';
comment on column holds.hold is 'Kind and name: issuer:TARGET:KEY, batch:NAME, target:TARGET:OPERATION.';
comment on column holds.reason is 'What was found, for people.';
comment on column holds.witness is 'Id of the certificate whose call told first. Null: no single call did.';
comment on column holds.is_closed is 'Further jobs are parked without a call.';
comment on column holds.opened_at is 'When it began.';
comment on column holds.probe_every is 'How often one job is let through to see whether it is over.';
comment on column holds.probe_at is 'When the next job may be let through.';
comment on column holds.asked_at is 'When a parked job was last sent again as a probe.';
comment on column holds.released_at is 'When it was over: the parked jobs are sent again. Null: it holds.';
comment on column holds.sender_until is 'Until when a worker sends its jobs again, unless it says so anew.';
