# The Debian packages that the project needs; sourced by ./run and ./test.
build_packages=(g++ cmake ninja-build ccache nlohmann-json3-dev libcli11-dev libhwy-dev libedit-dev
  libcurl4-openssl-dev libssl-dev)
test_packages=(libgtest-dev libgmock-dev python3 python3-dev python3-venv)
