-- The CAs that are known to be registered, and those that are not in.

create table authorities (
    account text not null,
    region text not null,
    certificate_id bytea not null,
    subject text not null,
    subject_key bytea not null,
    pem text not null,
    mode text,
    status text,
    not_before timestamptz not null,
    not_after timestamptz not null,
    registered_at timestamptz not null,
    primary key (account, region, certificate_id),
    constraint certificate_id_has_32_bytes check (octet_length(certificate_id) = 32),
    constraint subject_key_has_32_bytes check (octet_length(subject_key) = 32),
    constraint mode_is_known check (mode in ('DEFAULT', 'SNI_ONLY'))
);
comment on table authorities is 'Every CA that the ledger knows to be registered.';
comment on column authorities.account is 'AWS account id.';
comment on column authorities.region is 'AWS region.';
comment on column authorities.certificate_id is 'AWS certificate id (SHA-256 of the DER).';
comment on column authorities.subject is 'The CA''s name for people.';
comment on column authorities.subject_key is 'SHA-256 of the DER of the CA''s name: the key of the holds of what it signed.';
comment on column authorities.pem is 'The CA''s certificate.';
comment on column authorities.mode is 'DEFAULT or SNI_ONLY, where it was we who registered it. Null: unknown.';
comment on column authorities.status is 'Its status at AWS, when it was we who set it. Null: unknown.';
comment on column authorities.not_before is 'First second of its validity.';
comment on column authorities.not_after is 'Last second of its validity.';
comment on column authorities.registered_at is 'When it was registered; where it was there before, when that was first known.';

-- Answers "which CAs of this name are in".
create index authorities_of_a_name on authorities (account, region, subject_key);

-- Answers "which CAs are not in, and why"; devices, of which there are millions, are not in it.
create index failed_authorities on registrations (ended_at desc)
    where operation = 'RegisterCACertificate' and status not in ('registered', 'already_registered');
