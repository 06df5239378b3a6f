#!/usr/bin/env bash
# Build an image that stands in for Lambda's Python 3.11 base image where no registry can be reached: Debian 12's
# own packages and the runtime interface client. `sam local invoke --skip-pull-image` takes it under its tag.
# usage: lambda_image.sh <tag> <pip command…>; needs apt-get, dpkg-deb and a docker that answers.
set -euo pipefail
tag=$1; shift
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
root=$work/root; mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$work/debs"

packages=(libc6 libgcc-s1 gcc-12-base libstdc++6 libcrypt1 zlib1g libbz2-1.0 liblzma5 libffi8 libssl3 libexpat1
  libsqlite3-0 libuuid1 libdb5.3 libncursesw6 libtinfo6 libreadline8 libnsl2 libtirpc3 libgssapi-krb5-2 libkrb5-3
  libk5crypto3 libcom-err2 libkrb5support0 libkeyutils1 python3.11-minimal libpython3.11-minimal
  libpython3.11-stdlib media-types busybox-static ca-certificates tzdata netbase)
(cd "$work/debs" && apt-get download -qq "${packages[@]}" 2>/dev/null)

# Merged /usr comes first, so that unpacking follows the links.
for folder in bin sbin lib lib64; do ln -s "usr/$folder" "$root/$folder"; done
for deb in "$work"/debs/*.deb; do dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --keep-directory-symlink; done
for applet in sh mv chmod cp rm mkdir ls cat env sleep id true ln touch; do ln -sf busybox "$root/usr/bin/$applet"; done
ln -sf python3.11 "$root/usr/bin/python3"

mkdir -p "$root"/{tmp,opt,root,proc,sys,dev} "$root"/var/{task,runtime,rapid} "$root/etc/ssl/certs"
chmod 1777 "$root/tmp"
cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
printf 'root:x:0:0:root:/root:/bin/sh\nsbx_user1051:x:993:990::/home/sbx_user1051:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
rm -rf "$root"/usr/share/{doc,man,locale,lintian}

"$@" install -q --disable-pip-version-check --root-user-action ignore --target "$root/var/runtime" \
  --python-version 3.11 --implementation cp --only-binary=:all: awslambdaric

cat >"$root/var/runtime/bootstrap" <<'BOOTSTRAP'
#!/bin/sh
export PYTHONPATH=/var/task:/opt/python:/var/runtime${PYTHONPATH:+:$PYTHONPATH}
exec /usr/bin/python3.11 -m awslambdaric "$_HANDLER"
BOOTSTRAP
cat >"$root/lambda-entrypoint.sh" <<'ENTRYPOINT'
#!/bin/sh
if [ -z "$AWS_LAMBDA_RUNTIME_API" ]; then exec /usr/local/bin/aws-lambda-rie /var/runtime/bootstrap; fi
exec /var/runtime/bootstrap
ENTRYPOINT
chmod +x "$root/var/runtime/bootstrap" "$root/lambda-entrypoint.sh"
find "$root" -name __pycache__ -prune -exec rm -rf {} +

tar -C "$root" -c . | docker import -c 'ENV LANG=C.UTF-8' -c 'ENV TZ=:UTC' \
  -c 'ENV PATH=/usr/local/bin:/usr/bin:/bin:/opt/bin' -c 'ENV LD_LIBRARY_PATH=/var/runtime:/var/task:/opt/lib' \
  -c 'ENV LAMBDA_TASK_ROOT=/var/task' -c 'ENV LAMBDA_RUNTIME_DIR=/var/runtime' -c 'WORKDIR /var/task' \
  -c 'ENTRYPOINT ["/lambda-entrypoint.sh"]' - "$tag" >/dev/null
