#!/usr/bin/env bash
# Train over the nodes of a Slurm cluster. A job that is stopped and queued again continues where it was.
#
#   bash slurm/submit.sh [--print-only] [--nodes=4] [--gpus=8] [--accelerate-config=FILE] [--OPTION=VALUE ...] \
#       VERB --config RECIPE [--key value ...]
#
# VERB is sft or grpo. Every other option before it goes to sbatch: --partition=P --account=A --time=24:00:00.
# --print-only prints the job in place of submitting it.
set -euo pipefail

refuse() {
    echo "slurm/submit.sh: $1" >&2
    exit 2
}

nodes=4 gpus=8 launch=accelerate_configs/zero3.yaml print_only= options=()
while [[ "${1-}" == -* ]]; do
    case "$1" in
        --print-only) print_only=yes ;;
        --nodes=*) nodes=${1#*=} ;;
        --gpus=*) gpus=${1#*=} ;;
        --accelerate-config=*) launch=${1#*=} ;;
        --?*=?*) options+=("$1") ;;
        *) refuse "$1: found no value, valid: --option=value" ;;
    esac
    shift
done
verb=${1-}
[[ "$verb" == sft || "$verb" == grpo ]] || refuse "verb: found '$verb', valid: sft, grpo"
shift
[[ "${1-}" == --config && -n "${2-}" ]] || refuse "$verb: found '${1-}' after it, valid: --config RECIPE"
[[ -f "$2" ]] || refuse "--config: no such file: $2"
[[ -f "$launch" ]] || refuse "--accelerate-config: no such file: $launch"
[[ "$nodes" =~ ^[1-9][0-9]*$ ]] || refuse "--nodes: found '$nodes', valid: a whole number above 0"
[[ "$gpus" =~ ^[1-9][0-9]*$ ]] || refuse "--gpus: found '$gpus', valid: a whole number above 0 (of each node)"

job() {
    echo "#!/usr/bin/env bash"
    printf '#SBATCH %s\n' "--job-name=$verb" "--nodes=$nodes" --ntasks-per-node=1 "--gpus-per-node=$gpus" --exclusive \
        --requeue --open-mode=append ${options[@]+"${options[@]}"}
    echo 'set -euo pipefail'
    printf 'cd %q\n' "$PWD"
    # Two jobs may share their first node, so the port follows from the job.
    cat <<'BODY'
read -r first < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
port=$((20000 + SLURM_JOB_ID % 10000))
# One launcher a node, which may use all of its cores; when one fails the others stop with it.
srun --kill-on-bad-exit=1 --cpu-bind=none bash -c 'exec accelerate launch --machine_rank "$SLURM_NODEID" "$@"' node \
    --main_process_ip "$first" --main_process_port "$port" \
BODY
    printf '    --config_file %q --num_machines %q --num_processes %q' "$launch" "$nodes" $((nodes * gpus))
    printf ' %q' -m "phi_reasoning.$verb" "$@"
    echo
}

if [[ -n "$print_only" ]]; then
    job "$@"
else
    command -v sbatch >/dev/null || refuse "sbatch: not found, valid: a login node of the cluster, or --print-only"
    job "$@" | sbatch
fi
