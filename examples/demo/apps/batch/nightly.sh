#!/bin/sh
set -eu
openssl rand -hex 8
