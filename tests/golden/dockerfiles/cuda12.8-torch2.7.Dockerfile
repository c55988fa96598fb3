FROM pytorch/pytorch@sha256:0000000000000000000000000000000000000000000000000000000000000000
RUN --mount=type=bind,source=requirements.txt,target=/ctx/requirements.txt \
    --mount=type=bind,source=include/build-tools.txt,target=/ctx/build-tools.txt \
    --mount=type=secret,id=ca.crt,target=/etc/ssl/certs/ca-certificates.crt,required=false \
    --mount=type=secret,id=pip.conf,target=/run/secrets/pip.conf,required=false \
    export PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_CONFIG_FILE=/run/secrets/pip.conf \
 && before="$(python3 -c 'import torch, torchvision; print(torch.__version__, torchvision.__version__)')" \
 # DeepSpeed has no wheel, and its setup asks the torch that is there.
 && pip install --no-cache-dir --no-deps --require-hashes -r /ctx/build-tools.txt \
 # The lock is whole but for what the base brings (torch, torchvision, triton, CUDA): --no-deps keeps pip off those.
 && pip install --no-cache-dir --no-build-isolation --no-deps --require-hashes -r /ctx/requirements.txt \
 && test "$before" = "$(python3 -c 'import torch, torchvision; print(torch.__version__, torchvision.__version__)')"
# FlashAttention 2 from a wheel that the manifest brings (files: {flash-attn: WHEEL}, arguments: {flash_attn: its name,
# flash_attn_sha256: its sha256}). torch 2.6.0+cu126 has the new C++ ABI: only a cxx11abiTRUE wheel loads beside it
# (flash-attention#1644, #1783). Without one, `flash_attn: auto` takes PyTorch's own kernels.
RUN --mount=type=bind,source=flash-attn,target=/ctx/flash-attn \
    echo "1111111111111111111111111111111111111111111111111111111111111111  /ctx/flash-attn/flash_attn-2.7.4.post1+cu12torch2.6cxx11abiTRUE-cp311-cp311-linux_x86_64.whl" | sha256sum --check --strict \
 && pip install --no-cache-dir --no-deps --no-index "/ctx/flash-attn/flash_attn-2.7.4.post1+cu12torch2.6cxx11abiTRUE-cp311-cp311-linux_x86_64.whl" \
 && python3 -c 'import torch, flash_attn_2_cuda'
# Nothing in these images may look for a hub: behind the gap there is none. USER is for programs that
# ask for the name of a user id that /etc/passwd does not know.
ENV HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 HF_DATASETS_OFFLINE=1 USER=bundle
WORKDIR /work
ENTRYPOINT ["llamafactory-cli"]

