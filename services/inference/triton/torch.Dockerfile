# torch and what else the programs inside Triton and of the training job need: the one large layer, shared by both images.
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
COPY scripts/bootstrap-requirements.txt /tmp/requirements.txt
RUN --mount=type=cache,target=/root/.cache/pip python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet --require-hashes -r /tmp/requirements.txt
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/root/.cache/uv UV_LINK_MODE=copy UV_PROJECT_ENVIRONMENT=/opt/radloop /opt/uv/bin/uv sync --quiet --frozen --no-dev --no-install-workspace \
    --compile-bytecode --python python3 --package radloop-training-job && \
    /opt/uv/bin/uv export --quiet --frozen --no-dev --package radloop-training-job --format cyclonedx1.5 --output-file /opt/radloop/sbom.json

FROM ${BASE}
COPY --from=build /opt/radloop /opt/radloop
ENV PATH=/opt/radloop/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN install --directory --owner=10001 --group=10001 /work
WORKDIR /work
USER 10001:10001
