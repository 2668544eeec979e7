-- Logins to the ops page.

create table sessions (
    session bytea primary key,
    who text not null,
    role text not null,
    token text not null,
    opened_at timestamptz not null default now(),
    expires_at timestamptz not null,
    constraint session_is_a_hash check (octet_length(session) = 32),
    constraint session_role_is_known check (role in ('viewer', 'operator'))
);
comment on table sessions is 'Logins to the ops page. A logout deletes its row, and every login deletes those that expired.';
comment on column sessions.session is 'SHA-256 of the id in the browser''s cookie.';
comment on column sessions.who is 'Name that belongs to the token.';
comment on column sessions.role is 'Role of the token.';
comment on column sessions.token is 'Beginning of the SHA-256 of the token: the session ends when the settings no longer have it.';
comment on column sessions.opened_at is 'When the login was.';
comment on column sessions.expires_at is 'When it ends.';
