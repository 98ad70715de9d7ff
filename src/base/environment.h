// Every environment variable that the library reads, in one place.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace m2::environment {

/// M2_NUM_THREADS: worker threads of the CPU backend; absent means one per available core.
/// Throws kInvalidArgument when it is not a number in [1, 1024].
std::optional<int> num_threads();

/// M2_CPU_TARGET: forces an instruction set by its Highway name ("AVX2", "AVX3_DL", "SSE4", "NEON"),
/// or "AMX" for AVX3_DL with the matrix unit.
std::optional<std::string> cpu_target();

/// NO_COLOR (any non-empty value): no colours on the terminal.
bool no_color();

// The variables of huggingface_hub, with its meaning; "~" and $NAME are expanded in paths. libcurl
// itself reads the usual proxy variables.

/// HF_HOME, else $XDG_CACHE_HOME/huggingface, else ~/.cache/huggingface.
std::filesystem::path hf_home();
/// HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else hf_home()/hub.
std::filesystem::path hf_hub_cache();
/// HF_ENDPOINT: the address of a hub of one's own or of a mirror.
std::optional<std::string> hf_endpoint();
/// HF_TOKEN, else HUGGING_FACE_HUB_TOKEN.
std::optional<std::string> hf_token();
/// HF_TOKEN_PATH, else hf_home()/token: the file where a login leaves the token.
std::filesystem::path hf_token_path();
/// HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is 1, on, yes or true.
bool hf_hub_offline();
/// HF_HUB_DISABLE_SYMLINKS is 1, on, yes or true: files of a snapshot are copies, not links.
bool hf_hub_disable_symlinks();

/// The value of a path variable as a shell would read it: "~/" is HOME, $NAME and ${NAME} are
/// variables; unknown ones stay as they are.
std::string expand_path(const std::string& text);

}  // namespace m2::environment
