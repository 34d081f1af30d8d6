# An image that holds the programs, the libraries that they need, a busybox for scripts, and nothing else.
#   docker build -t hyperpod-kv-emulator .
#   docker run --rm --shm-size 1100m -p 127.0.0.1:9200:9200 -p 127.0.0.1:9201:9201 hyperpod-kv-emulator
FROM debian:bookworm-slim AS build
WORKDIR /src
COPY debian-packages.txt .
RUN apt-get -q update && \
    DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
      $(awk '$1 == "build" || $1 == "image" {print $2}' debian-packages.txt)
# From here on nothing needs a network.
COPY . .
RUN --mount=type=cache,target=/root/.cache/ccache \
    cmake --preset dist -Wno-dev -DCMAKE_CXX_COMPILER_LAUNCHER=ccache && cmake --build build/dist -- --quiet
RUN packaging/image_root.sh build/dist /image

FROM scratch
COPY --from=build /image /
USER 1000:1000
# In a container of its own nobody reaches a loopback address, so the ports are open to its network.
CMD ["hyperpod-emulator", "--listen", "0.0.0.0:9200", "--admin", "0.0.0.0:9201"]
EXPOSE 9200 9201
HEALTHCHECK --interval=2s --timeout=5s --retries=5 CMD ["hyperpod-emulator", "--healthcheck", "http://127.0.0.1:9201"]
