# One image for every process; the command chooses which, and without one it is the gateway.
FROM python:3.11-slim AS build
WORKDIR /app
COPY requirements.lock .
RUN python -m venv /app/.venv && /app/.venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock
COPY libs libs
COPY services services
COPY cli cli
RUN /app/.venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation \
    libs/common services/auth services/catalog services/ingest services/governance services/workorder \
    services/share-gateway services/portal cli

FROM python:3.11-slim
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 EDULAKE_STANDARDS_DIR=/app/standards EDULAKE_HOME=/var/lib/edulake \
    EDULAKE_BIND=0.0.0.0
RUN groupadd --gid 10001 edulake && useradd --uid 10001 --gid 10001 --no-create-home edulake \
    && install -d -o 10001 -g 10001 /var/lib/edulake
WORKDIR /app
COPY --from=build /app/.venv /app/.venv
COPY standards standards
USER 10001:10001
CMD ["python", "-m", "edulake.share_gateway"]
