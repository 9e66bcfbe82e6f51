# An image with mal_mm and everything it needs, made by the same script as any other environment.
#
#   CPU:   docker build -t mal_mm .
#   CUDA:  docker build -t mal_mm:cuda --build-arg BASE=nvidia/cuda:13.0.1-devel-ubuntu24.04 \
#            --build-arg TORCH_INDEX_URL= --build-arg TORCH_CUDA_ARCH_LIST="8.0;9.0" .
#   use:   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" mal_mm label --ann /data/boxes.json --img-root /data/photos --out /data/masks.json
#
# The CUDA base has to be a "devel" image, since mmcv's operators are compiled here, and of the CUDA version that torch
# on PyPI was built for: python -c 'import torch; print(torch.version.cuda)'.
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}

ARG STACK=onedl
# empty: torch from PyPI, which is a CUDA build on Linux
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ARG TORCH_CUDA_ARCH_LIST=

# OpenCV needs libGL and GLib; a Python where the base has none
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential git libgl1 libglib2.0-0 \
    && (command -v python3 || apt-get install -y --no-install-recommends python3) \
    && if [ "$(command -v python3)" = /usr/bin/python3 ]; then \
         apt-get install -y --no-install-recommends python3-dev python3-venv; fi \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/mal_mm
COPY . .
# No GPU is visible while an image is built; --cuda-ops has the operators compiled for one all the same.
RUN bash tools/setup_env.sh --stack "${STACK}" --venv /opt/venv ${TORCH_CUDA_ARCH_LIST:+--cuda-ops} \
    && rm -rf /root/.cache/pip

ENV PATH=/opt/venv/bin:${PATH}
# caches of a user whom the image does not know
ENV HOME=/tmp
WORKDIR /data
ENTRYPOINT ["mal-mm"]
CMD ["--help"]
