# syntax=docker/dockerfile:1
# Written without access to a Docker engine: the steps were tried one by one, but the image was never built.

FROM rust:1-slim-bookworm AS build
WORKDIR /build
COPY . .
# The caches persist between builds, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin muster && cp target/release/muster /usr/local/bin/muster

FROM debian:bookworm-slim
# The AWS clients trust the system's certificates.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /usr/local/bin/muster /usr/local/bin/muster
# Muster writes no files: the root file system may be read-only.
USER 65532:65532
# 4566: the sandbox. 9464: metrics and health of the worker.
EXPOSE 4566 9464
ENTRYPOINT ["/usr/local/bin/muster"]
CMD ["serve"]
