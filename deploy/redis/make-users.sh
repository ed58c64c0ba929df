#!/bin/sh
# make-users.sh NAMESPACE FOLDER: the users of a namespace, each with a password of its own.
# FOLDER gets users.acl, with hashes, and <role>.password; passwords that are there stay.
set -eu
namespace=$1
folder=$2
case $namespace in
'' | *[!A-Za-z0-9_.-]*)
  echo "make-users.sh: $namespace is no name of a namespace" >&2
  exit 2
  ;;
esac
sum=sha256sum
command -v sha256sum >/dev/null || sum='shasum -a 256'
umask 077
mkdir -p "$folder"
sed "s/NAMESPACE/$namespace/g" "$(dirname "$0")/users.acl" > "$folder/users.acl.new"
for role in worker scheduler serve deployer reader metrics; do
  file=$folder/$role.password
  [ -s "$file" ] || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "$file"
  hash=$(tr -d '\n' < "$file" | $sum | cut -d ' ' -f 1)
  mark=$(echo "$role" | tr '[:lower:]' '[:upper:]')
  sed "s/ on #$mark / on #$hash /" "$folder/users.acl.new" > "$folder/users.acl"
  cp "$folder/users.acl" "$folder/users.acl.new"
done
rm "$folder/users.acl.new"
echo "$folder/users.acl has the users of $namespace"
