FROM pytorch/pytorch@sha256:0000000000000000000000000000000000000000000000000000000000000000
RUN --mount=type=bind,source=requirements.txt,target=/ctx/requirements.txt \
    --mount=type=bind,source=include/build-tools.txt,target=/ctx/build-tools.txt \
    --mount=type=secret,id=ca.crt,target=/etc/ssl/certs/ca-certificates.crt,required=false \
    --mount=type=secret,id=pip.conf,target=/run/secrets/pip.conf,required=false \
    export PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_CONFIG_FILE=/run/secrets/pip.conf \
 && before="$(python3 -c 'import torch, torchvision; print(torch.__version__, torchvision.__version__)')" \
 # flashinfer-python has no wheel in the index.
 && pip install --no-cache-dir --no-deps --require-hashes -r /ctx/build-tools.txt \
 && pip install --no-cache-dir --no-build-isolation --no-deps --require-hashes -r /ctx/requirements.txt \
 && test "$before" = "$(python3 -c 'import torch, torchvision; print(torch.__version__, torchvision.__version__)')"
# Nothing in these images may look for a hub: behind the gap there is none. USER is for programs that
# ask for the name of a user id that /etc/passwd does not know.
ENV HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 USER=bundle
WORKDIR /work
ENTRYPOINT ["python3", "-m", "sglang.launch_server"]
