# syntax=docker/dockerfile:1
# The image middleware-citus: one binary on a base without shell or package manager, run by an ordinary user on a read-only
# root. `make image` builds it; docs/operations/image.md says how it is run and what is in it.
#
# Both bases can be replaced, by a mirror of one's own or by a digest: --build-arg RUNTIME=gcr.io/distroless/cc-debian13@sha256:...
# cc, not static: DNS and accounts go through the C library, as on any Debian.
ARG RUST=docker.io/library/rust:1.95.0-slim-trixie
ARG RUNTIME=gcr.io/distroless/cc-debian13:nonroot

FROM ${RUST} AS tools
# The CycloneDX project's own tool, because it reads the same resolved graph that is built (Cargo.lock, features, target) and
# honours SOURCE_DATE_EPOCH. A stage of its own: it is compiled once, not with each change of ours.
RUN cargo install --locked --root /tools cargo-cyclonedx@0.5.9

FROM ${RUST} AS build
WORKDIR /src
COPY --from=tools /tools/bin/cargo-cyclonedx /usr/local/bin/
COPY . .
ARG SOURCE_DATE_EPOCH=0
# Names stay in backtraces; line tables would triple the file.
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} CARGO_INCREMENTAL=0 CARGO_PROFILE_RELEASE_DEBUG=none CARGO_PROFILE_RELEASE_STRIP=debuginfo
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin historia \
    && cargo cyclonedx --format json --spec-version 1.5 --override-filename sbom.cdx \
    && install -D -m 0755 target/release/historia /out/usr/local/bin/historia \
    && install -D -m 0644 sbom.cdx.json /out/usr/share/doc/historia/sbom.cdx.json \
    && install -D -m 0644 LICENSE /out/usr/share/doc/historia/LICENSE \
    && install -d -m 0700 /data \
    && find /out /data -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM ${RUNTIME}
ARG VERSION=1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="middleware-citus" \
      org.opencontainers.image.description="FHIR R4, HL7 v2 and SMART health-record server on PostgreSQL and Citus, in one binary" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
COPY --from=build /out/ /
# ready.json and the lock: a volume in memory when the root is read-only.
COPY --from=build --chown=10001:10001 /data/ /var/lib/historia/
# By number: Kubernetes can check runAsNonRoot only so.
USER 10001:10001
# HTTPS. Plain HTTP (8080) and metrics (9090) are on loopback, for the probe.
EXPOSE 8443
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 CMD ["/usr/local/bin/historia", "health"]
ENTRYPOINT ["/usr/local/bin/historia"]
CMD ["serve"]
