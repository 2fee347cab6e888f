# The SuperNode's packages on an image that has Python 3.11 or later: the role container builds it on a device.
# Wheels and uv come with the context, fetched and checked by the controller: no index is asked here. What the image has
# itself (a torch for its GPU) is seen through --system-site-packages.
ARG BASE
FROM ${BASE} AS packages
# By this the role finds it once the image is built, and removes it.
LABEL flowerbed=packages
COPY wheels /opt/flowerbed/wheels
RUN python3 -m venv --system-site-packages --without-pip /opt/flowerbed/venv \
    && UV_CACHE_DIR=/opt/flowerbed/cache /opt/flowerbed/wheels/uv pip install --offline --no-index --no-deps --no-config \
        --compile-bytecode --python /opt/flowerbed/venv/bin/python /opt/flowerbed/wheels/*.whl

# Without the wheels, which would stay in a layer of their own.
FROM ${BASE}
COPY --from=packages /opt/flowerbed/venv /opt/flowerbed/venv
# Nothing of the image's own is to start.
ENTRYPOINT []
CMD ["/opt/flowerbed/venv/bin/python"]
