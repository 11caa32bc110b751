# shellcheck shell=bash
# Clients that are not ours, from PyPI: unmodified, each with its whole tree pinned by hash in ci/python/NAME.txt.

# setup_python_client NAME: prints the directory that holds venv/bin/python with the client.
setup_python_client() {
  PYTHON_CLIENT=$1
  cached "python-$1" "$(content_key "$(python3 --version)" "$CI_DIR/python/$1.txt" <(declare -f make_python_client))" \
    "$1 of PyPI" "pip" make_python_client
}

# make_python_client DIR: fills it. The environment is moved afterwards: only its `python` is called, which finds its own place.
make_python_client() {
  python3 -m venv "$1/venv" || return
  "$1/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --only-binary :all: --require-hashes \
    --requirement "$CI_DIR/python/$PYTHON_CLIENT.txt"
}
