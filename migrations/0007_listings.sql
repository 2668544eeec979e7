-- What AWS said that it holds, for as long as a reconciliation compares it with the ledger.

-- Unlogged: it is worth nothing after a crash of the server, and listing again is all that is lost.
create unlogged table listed (
    run bigint not null,
    certificate_id bytea not null,
    status text,
    primary key (run, certificate_id),
    constraint certificate_id_has_32_bytes check (octet_length(certificate_id) = 32)
);
comment on table listed is 'What AWS said of device certificates in each reconciliation that is under way.';
comment on column listed.run is 'The reconciliation: when it began, in microseconds since 1970.';
comment on column listed.certificate_id is 'AWS certificate id (SHA-256 of the DER).';
comment on column listed.status is 'Its status at AWS. Null: AWS said that it does not have it.';
