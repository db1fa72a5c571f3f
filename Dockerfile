# histonic in a container, from its wheel:
#   docker build -t histonic .
#   docker run --rm -v "$PWD:/data" histonic doctor /data/slides
# For an NVIDIA GPU: docker build --build-arg GPU=1 -t histonic . and docker run --gpus all ...
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
WORKDIR /src
RUN python -m pip install --no-cache-dir build
COPY . .
RUN python -m build --wheel --outdir /dist

FROM python:${PYTHON}-slim
ARG GPU=0
RUN if [ "${GPU}" = 0 ]; then set -- --index-url https://download.pytorch.org/whl/cpu; fi; \
    python -m pip install --no-cache-dir torch "$@"
COPY --from=build /dist /dist
RUN python -m pip install --no-cache-dir "$(ls /dist/*.whl)[dicom,parquet]"
RUN useradd --create-home --uid 1000 histonic
USER histonic
WORKDIR /data
ENV MPLCONFIGDIR=/tmp/matplotlib
RUN histonic list --check
ENTRYPOINT ["histonic"]
CMD ["--help"]
