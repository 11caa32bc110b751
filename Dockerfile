# lian-build itself, with what it calls:
#   lian-build build --directives ci/directives.ncl --push=false

FROM rust:1-slim-bookworm AS build
# The toolchain of the image: otherwise rustup may download another one.
ENV RUSTUP_TOOLCHAIN=$RUST_VERSION
WORKDIR /src
COPY . .
# Crates and compiled dependencies are kept for the next build of the same BuildKit. The project's own sources are
# always compiled: `touch` makes them newer than what is kept, whatever their times were.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/usr/local/cargo/git/db \
    --mount=type=cache,target=/src/target,sharing=locked \
    find . -path ./target -prune -o -type f -exec touch {} + \
    && cargo build --release --locked --bin lian-build \
    && mkdir /out \
    && cp target/release/lian-build /out/

FROM debian:bookworm-slim
# ssh and rsync reach the runner; git names the workspace and the commit.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git openssh-client rsync \
    && rm -rf /var/lib/apt/lists/*
COPY LICENSE-APACHE LICENSE-MIT THIRD-PARTY-NOTICES.md /usr/share/doc/lian-build/
COPY licenses /usr/share/doc/lian-build/licenses
COPY --from=build /out/lian-build /usr/local/bin/
# No entry point: CI starts a shell in it.
CMD ["lian-build", "--help"]
