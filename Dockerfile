# The command and the page on a CPU: docker build -t fewshot-sep . && docker run --rm -p 127.0.0.1:8000:8000 fewshot-sep
FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
RUN python -m venv /opt/fewshot-sep
WORKDIR /source
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY fewshot_sep fewshot_sep
COPY songs songs
COPY loops loops
COPY experiments experiments
RUN /opt/fewshot-sep/bin/pip install -c constraints.txt torch==2.13.0 '.[app]'

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="fewshot-sep" org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/fewshot-sep /opt/fewshot-sep
RUN useradd --create-home --uid 10001 listener
ENV PATH=/opt/fewshot-sep/bin:$PATH PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR=/home/listener/.cache/numba
USER 10001
WORKDIR /home/listener
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/static/api.js', timeout=4)"]
ENTRYPOINT ["fewshot-sep"]
CMD ["app", "--host", "0.0.0.0", "--port", "8000", "--no-browser"]
