#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes kubernetes.json, one JSON schema for all kinds that the manifests use, from the npm packages kubernetes-models,
# @kubernetes-models/apimachinery and @kubernetes-models/prometheus-operator (MIT; Kubernetes 1.22, the last that come as
# plain schemas). Needs npm, node and the network. Fields that a type does not have are made errors, so that a misspelt
# one is found, and so are nulls.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p node_modules/kubernetes-models
for package in apimachinery prometheus-operator validate base; do mkdir -p node_modules/@kubernetes-models/$package; done
npm pack --silent kubernetes-models@3.1.0 @kubernetes-models/apimachinery@0.2.0 \
  @kubernetes-models/prometheus-operator@1.0.0 >/dev/null
tar xzf kubernetes-models-3.1.0.tgz -C node_modules/kubernetes-models --strip-components 1
tar xzf kubernetes-models-apimachinery-0.2.0.tgz -C node_modules/@kubernetes-models/apimachinery --strip-components 1
tar xzf kubernetes-models-prometheus-operator-1.0.0.tgz -C node_modules/@kubernetes-models/prometheus-operator \
  --strip-components 1
# Take the place of the packages that the schemas register themselves with.
echo 'exports.Model = class { static setSchema(kind, id, register) { register(); } };' \
  >node_modules/@kubernetes-models/base/index.js
cat >node_modules/@kubernetes-models/validate/index.js <<'END'
exports.schemas = {};
exports.register = (id, schema) => { exports.schemas[id] = schema; };
END
cat >make.js <<'END'
const {schemas} = require("@kubernetes-models/validate");
const kinds = {
  "apps/v1 DaemonSet": "AppsV1DaemonSet", "batch/v1 Job": "BatchV1Job", "v1 ConfigMap": "CoreV1ConfigMap",
  "v1 Namespace": "CoreV1Namespace", "v1 Pod": "CoreV1Pod", "v1 Service": "CoreV1Service",
};
const strict = (node) => {
  if (Array.isArray(node)) return node.map(strict);
  if (node === null || typeof node !== "object") return node;
  if (node.oneOf && node.oneOf.length === 2 && node.oneOf[1].type === "null") return strict(node.oneOf[0]);
  const made = {};
  for (const [key, value] of Object.entries(node)) {
    if (key === "nullable" || key === "$literal") continue;
    if (key === "description" && typeof value === "string") continue;
    made[key] = key === "$ref" ? "#/definitions/" + value.replace(/#$/, "") : strict(value);
  }
  if (made.properties && typeof made.properties === "object" && made.additionalProperties === undefined) {
    made.additionalProperties = false;
  }
  return made;
};
for (const name of Object.values(kinds)) require(`./node_modules/kubernetes-models/_schemas/IoK8sApi${name}.js`).addSchema();
require("./node_modules/@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor.js");
const definitions = {};
for (const id of Object.keys(schemas).sort()) definitions[id] = strict(schemas[id]);
const made = {$schema: "http://json-schema.org/draft-07/schema#", kinds: {}, definitions};
for (const [kind, name] of Object.entries(kinds)) {
  made.kinds[kind] = "io.k8s.api." + name.replace(/^([A-Z][a-z]+)V1/, (_, group) => group.toLowerCase() + ".v1.");
}
made.kinds["monitoring.coreos.com/v1 ServiceMonitor"] = "monitoring.coreos.com.v1.ServiceMonitor";
process.stdout.write(JSON.stringify(made) + "\n");
END
node make.js >kubernetes.json
mv kubernetes.json "$here/"
