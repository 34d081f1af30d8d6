# SPDX-License-Identifier: Apache-2.0
# Two images from one build. Neither holds a compiler, a package manager or a distribution.
#   full (the default)  the programs of emulator, client and suite, the scenarios, and a busybox for scripts
#   slim                the emulator and hyperpod-kv, and no shell
#
#   docker build -t hyperpod-kv-emulator .
#   docker build -t hyperpod-kv-emulator:slim --target slim .
#   docker run --rm --shm-size 1100m -p 127.0.0.1:9200:9200 -p 127.0.0.1:9201:9201 hyperpod-kv-emulator [OPTION...]
#
# What follows the image's name is for hyperpod-emulator if it begins with "-", and a command otherwise.
# The programs need nothing but glibc: COPY --from=hyperpod-kv-emulator /usr/bin/hyperpod-emulator /usr/bin/ gives one, under
# its name, to any image that has glibc 2.34 or newer (from slim: 2.36).
FROM debian:bookworm-slim AS build
WORKDIR /src
COPY debian-packages.txt .
COPY packaging/packages.sh packaging/
RUN apt-get -q update && \
    DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
      $(packaging/packages.sh bookworm build image)
# From here on nothing needs a network. The compiler's cache outlives the image, so a second one builds in seconds.
COPY . .
RUN --mount=type=cache,target=/root/.cache/ccache \
    cmake --preset portable -DHYPERPOD_PYTHON=OFF -Wno-dev && cmake --build build/portable --target all hyperpod-image-full hyperpod-image-slim
RUN packaging/image_root.sh full build/portable /image && packaging/image_root.sh slim build/portable /slim

FROM scratch AS slim
COPY --from=build /slim /
USER 1000:1000
# In a container of its own nobody reaches a loopback address, so the ports are open to the container's network.
ENV HYPERPOD_EMULATOR_LISTEN=0.0.0.0:9200 HYPERPOD_EMULATOR_ADMIN=0.0.0.0:9201 \
    HYPERPOD_EMULATOR_ADMIN_OPEN=true
EXPOSE 9200 9201
# No HEALTHCHECK: in a container that runs another program it would fail. Compose and Kubernetes files have their own.
ENTRYPOINT ["/usr/bin/hyperpod-entrypoint"]

FROM scratch AS full
COPY --from=build /image /
USER 1000:1000
ENV HYPERPOD_EMULATOR_LISTEN=0.0.0.0:9200 HYPERPOD_EMULATOR_ADMIN=0.0.0.0:9201 \
    HYPERPOD_EMULATOR_ADMIN_OPEN=true
EXPOSE 9200 9201
ENTRYPOINT ["/usr/bin/hyperpod-entrypoint"]
