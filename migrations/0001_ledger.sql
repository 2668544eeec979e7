-- The ledger: how every job ended, and what was no job.

create table targets (
    target text primary key,
    account text not null,
    region text not null,
    first_used_at timestamptz not null default now(),
    constraint target_account_has_12_digits check (account ~ '^[0-9]{12}$')
);
comment on table targets is 'Which AWS account and region a target name stands for; the name never changes its meaning.';
comment on column targets.target is 'Name in the configuration and in jobs.';
comment on column targets.account is 'AWS account id, from GetCallerIdentity.';
comment on column targets.region is 'AWS region.';
comment on column targets.first_used_at is 'When a worker first served the target.';

create table batches (
    batch text primary key,
    announced bigint,
    first_recorded_at timestamptz not null default now(),
    constraint announced_is_a_count check (announced >= 0)
);
comment on table batches is 'Every batch that a job named.';
comment on column batches.batch is 'Name of the batch; jobs that name none are in `unbatched`.';
comment on column batches.announced is 'Greatest batchSize seen: how many distinct certificates the line will send. Null: none was said.';
comment on column batches.first_recorded_at is 'When the first end of the batch was recorded.';

create table registrations (
    batch text not null,
    target text not null,
    operation text not null,
    subject bytea not null,
    account text not null,
    region text not null,
    certificate_id bytea,
    source text,
    ref text,
    message_id text not null,
    status text not null,
    code text not null,
    detail text,
    wanted_status text not null,
    known_status text,
    status_differs boolean not null generated always as (
        status in ('registered', 'already_registered') and known_status is distinct from wanted_status
    ) stored,
    request json,
    attempts jsonb not null default '[]',
    n_attempts integer not null default 0,
    n_duplicates integer not null default 0,
    other_names jsonb not null default '[]',
    sent_at timestamptz not null,
    received_at timestamptz not null,
    ended_at timestamptz not null,
    recorded_at timestamptz not null default now(),
    primary key (batch, target, operation, subject),
    constraint subject_has_32_bytes check (octet_length(subject) = 32),
    constraint certificate_id_has_32_bytes check (octet_length(certificate_id) = 32),
    constraint status_is_known check (status in ('registered', 'already_registered', 'rejected', 'refused', 'exhausted')),
    constraint good_end_names_its_certificate
        check (status not in ('registered', 'already_registered') or certificate_id is not null),
    constraint good_end_drops_its_request
        check (status not in ('registered', 'already_registered') or request is null),
    constraint registering_costs_a_call check (status <> 'registered' or n_attempts > 0),
    constraint counts_are_not_negative check (n_attempts >= 0 and n_duplicates >= 0),
    constraint last_ten_attempts_are_kept check (jsonb_array_length(attempts) <= 10),
    constraint ten_names_are_kept check (jsonb_array_length(other_names) <= 10)
);
comment on table registrations is 'How each certificate of each batch ended: one row for each (batch, target, operation, subject).';
comment on column registrations.batch is 'Batch that the job named.';
comment on column registrations.target is 'Target that the job named.';
comment on column registrations.operation is 'AWS call that the job asked for.';
comment on column registrations.subject is 'Certificate id, or SHA-256 of the PEM text where no certificate can be read.';
comment on column registrations.account is 'AWS account id of the target.';
comment on column registrations.region is 'AWS region of the target.';
comment on column registrations.certificate_id is 'AWS certificate id (SHA-256 of the DER). Null: no certificate can be read.';
comment on column registrations.source is 'Factory line that sent the job first.';
comment on column registrations.ref is 'The line''s own name for the device, as it was first sent.';
comment on column registrations.message_id is 'MessageId of the first message that ended in this row.';
comment on column registrations.status is 'How it ended. A good end is never overwritten by a worse one.';
comment on column registrations.code is 'Why it ended so, from a closed set.';
comment on column registrations.detail is 'What a person needs beyond the code.';
comment on column registrations.wanted_status is 'Certificate status that the job asked for.';
comment on column registrations.known_status is 'Certificate status at AWS, when it was we who set it. Null: unknown.';
comment on column registrations.status_differs is 'The certificate is there, with another or an unknown status than was asked for.';
comment on column registrations.request is 'Fields of the AWS call, kept for an end that is not good so that it can be sent again; never with a private key.';
comment on column registrations.attempts is 'The last ten calls, oldest first: at, result, request_id, ms.';
comment on column registrations.n_attempts is 'How many calls were made in all.';
comment on column registrations.n_duplicates is 'How many deliveries of other messages ended in this row.';
comment on column registrations.other_names is 'Other refs and sources that further messages gave, the first ten: ref, source.';
comment on column registrations.sent_at is 'When the message that set this end was sent to the queue.';
comment on column registrations.received_at is 'When a worker received that message.';
comment on column registrations.ended_at is 'When the job ended.';
comment on column registrations.recorded_at is 'When this end was written.';

-- Answers "is this certificate known for this account and region", whichever batch brought it.
create index known_certificates on registrations (certificate_id, account, region)
    where status in ('registered', 'already_registered');

-- Answers "what failed in this batch, and why", page by page.
create index failures on registrations (batch, code, subject)
    where status not in ('registered', 'already_registered');

create table batch_counters (
    batch text not null,
    source text not null,
    status text not null,
    code text not null,
    n bigint not null,
    n_status_differs bigint not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    primary key (batch, source, status, code),
    constraint counts_are_not_negative check (n >= 0 and n_status_differs >= 0)
);
comment on table batch_counters is 'Counts of registrations by batch, source, status and code, kept in the transaction that writes the rows.';
comment on column batch_counters.batch is 'Batch.';
comment on column batch_counters.source is 'Factory line; empty where the jobs named none.';
comment on column batch_counters.status is 'Status of the counted rows.';
comment on column batch_counters.code is 'Code of the counted rows.';
comment on column batch_counters.n is 'How many rows there are.';
comment on column batch_counters.n_status_differs is 'How many of them stand at AWS with another or an unknown status than was asked for.';
comment on column batch_counters.first_at is 'When the first of them was recorded.';
comment on column batch_counters.last_at is 'When the count last changed.';

create table quarantine (
    queue text not null,
    message_id text not null,
    reason text not null,
    detail text not null,
    body bytea not null,
    sent_at timestamptz not null,
    recorded_at timestamptz not null default now(),
    primary key (queue, message_id)
);
comment on table quarantine is 'Messages whose body is no job, whole, so that nothing is lost.';
comment on column quarantine.queue is 'URL of the queue that delivered the message.';
comment on column quarantine.message_id is 'MessageId at SQS.';
comment on column quarantine.reason is 'Why it is no job, from a closed set.';
comment on column quarantine.detail is 'The reason for people.';
comment on column quarantine.body is 'The body as UTF-8, with private keys blanked.';
comment on column quarantine.sent_at is 'When the message was sent to the queue.';
comment on column quarantine.recorded_at is 'When it was set aside.';
