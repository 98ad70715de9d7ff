// MiniMaxM2Model and MiniMaxM2ForCausalLM: the reference's classes with its arguments and outputs.
//
// B rows, S tokens of this call, K keys (past and new), H hidden size, L layers, Nq query heads,
// E experts, V vocabulary. Arrays of ids and positions may be i64 or i32; outputs are f32 whatever
// the type of the weights. Formulas: docs/model.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "m2/cache.h"
#include "m2/config.h"
#include "m2/generation.h"
#include "m2/generation_config.h"
#include "m2/tensor.h"

namespace m2 {

// ---- Forward ----------------------------------------------------------------------------------

/// Arguments of forward(). A view that is not present is an argument that was not given; flags that
/// are not given come from the config.
struct ForwardInputs {
  TensorView input_ids;  // [B, S]; exactly one of input_ids and inputs_embeds
  /// 2-D: [B, K], any integer type, bool or f32: non-zero is a real token; longer ones are cut,
  /// shorter ones extended with 0. 4-D: [B or 1, Nq or 1, S, K], bool (true: attend) or f32 (added
  /// to the scores); nothing else is hidden then, no causality is added.
  TensorView attention_mask;
  TensorView position_ids;  // [B or 1, S]; default: cache_position, padding counted too
  /// Updated in place. Holds the tokens before those of this call.
  std::shared_ptr<Cache> past_key_values;
  TensorView inputs_embeds;       // [B, S, H] f32, f16 or bf16
  std::optional<bool> use_cache;  // without past_key_values: return a new DynamicCache
  TensorView cache_position;      // [S]; default: past length + 0 .. S-1
  std::optional<bool> output_hidden_states;
  std::optional<bool> output_attentions;  // needs attn_implementation "eager", as the reference
  std::optional<bool> output_router_logits;

  // Of MiniMaxM2ForCausalLM alone.
  TensorView labels;        // [B, S]; position s predicts labels[s + 1]
  TensorView shift_labels;  // [B, S_kept]; position s predicts shift_labels[s]; with labels only,
                            // whose place it takes
  std::int64_t ignore_index = -100;
  std::optional<double> num_items_in_batch;  // the loss is the sum over targets divided by it
  /// n > 0: logits of the last n positions; 0: of all; a tensor: of these positions, in this order
  /// (integers, negative ones from the end; or bool [S]).
  std::variant<std::int64_t, TensorView> logits_to_keep = std::int64_t{0};
};

/// Absent vectors and tensors were not asked for.
struct MoeModelOutputWithPast {
  Tensor last_hidden_state;                // [B, S, H], after the final norm
  std::shared_ptr<Cache> past_key_values;  // the one that was passed in, or a new one
  std::vector<Tensor> hidden_states;       // L + 1 of [B, S, H]: embeddings, then every layer's
                                           // output, the last one after the final norm
  std::vector<Tensor> attentions;          // L of [B, Nq, S, K], after the softmax
  std::vector<Tensor> router_logits;       // L of [B * S, E], before sigmoid and bias
  std::vector<std::string> warnings;       // what the reference logs
};

struct MoeCausalLMOutputWithPast {
  std::optional<float> loss;      // with labels; includes router_aux_loss_coef * aux_loss
  std::optional<float> aux_loss;  // with output_router_logits
  Tensor logits;                  // [B, S_kept, V]
  std::shared_ptr<Cache> past_key_values;
  std::vector<Tensor> hidden_states;
  std::vector<Tensor> attentions;
  std::vector<Tensor> router_logits;
  std::vector<std::string> warnings;
};

// ---- Loading and saving -----------------------------------------------------------------------

/// Where the modules of a model go.
struct DeviceMap {
  /// "" or "cpu", "cuda", "cuda:1", ...: everything there. "auto" = "balanced", "balanced_low_0",
  /// "sequential": fills the GPUs, then RAM, then leaves the rest mapped on disk. Empty with
  /// `modules`.
  std::string policy;
  /// Module name ("model.embed_tokens", "model.layers.3", "model.layers.3.mlp" for its router and
  /// experts, "model.norm", "lm_head", "" for all) to "cpu", "cuda:N" or "disk".
  std::map<std::string, std::string> modules;
  /// Bytes a device may use ("cpu", "cuda:0"); others: what is free, less a tenth.
  std::map<std::string, std::int64_t> max_memory;

  DeviceMap() = default;
  DeviceMap(std::string policy_in) : policy(std::move(policy_in)) {}  // NOLINT(google-explicit-*)
  DeviceMap(const char* policy_in) : policy(policy_in) {}             // NOLINT(google-explicit-*)
};

/// What to do with tensors that the checkpoint lacks.
enum class MissingTensors {
  kError,
  kInitialize,  ///< random values as of a fresh model, and a warning, as the reference does
};

struct MismatchedKey {
  std::string name;
  Shape file_shape;
  Shape model_shape;
};

/// What a load found and did. Names are internal ones (fused experts), as in the reference.
struct LoadingInfo {
  std::vector<std::string> missing_keys;
  std::vector<std::string> unexpected_keys;
  std::vector<MismatchedKey> mismatched_keys;
  std::vector<std::string> error_msgs;
  std::vector<std::string> warnings;              ///< everything worth saying, one sentence each
  std::map<std::string, std::string> device_map;  ///< where every module went
  std::string device_report;                      ///< the same with sizes, for people
};

struct FromPretrainedOptions {
  std::string revision = "main";  ///< branch, tag, commit or refs/pr/N; for hub ids only
  /// "auto" (the files' own types), "float32", "bfloat16" or "float16" (weights are converted while
  /// they load; block-scaled FP8 stays what it is). Activations are float32 either way.
  std::string dtype = "auto";
  DeviceMap device_map;
  std::optional<MiniMaxM2Config> config;  ///< instead of the directory's
  std::string variant;
  std::string subfolder;
  std::optional<std::string> cache_dir;  ///< of the hub; default: HF_HUB_CACHE, HF_HOME, ...
  std::optional<std::string> token;      ///< of the hub; default: HF_TOKEN or the stored one
  bool force_download = false;
  bool local_files_only = false;
  std::string attn_implementation = "sdpa";  ///< "sdpa" or "eager": see ForwardInputs
  MissingTensors missing_tensors = MissingTensors::kError;
  bool ignore_mismatched_sizes = false;  ///< such tensors are initialised instead of an error
  bool dequantize = false;               ///< FP8 weights become bfloat16 while they load
  std::uint64_t seed = 0;                ///< of what is initialised
  bool strict = false;                   ///< quirks of transformers 5.1.0: see ConfigOptions
  int num_threads = 0;  ///< 0: as many as cpu_mask has, else M2_NUM_THREADS, else every core
  /// Processors that the calling thread and the workers of the CPU backend stay on, a mask ("0xF0")
  /// or a list ("0-3,8"); empty: wherever the system puts them.
  std::string cpu_mask;
  /// Memory for experts of a model that is larger than memory: hot experts stay in it, the others
  /// are read from the files when they are chosen. "12GB", "500MB", a number of bytes, "0" (none:
  /// the system's page cache does what it does) or "auto": none where everything fits.
  std::string expert_cache = "auto";
  std::function<void(std::int64_t done, std::int64_t total)> progress;  ///< tensors
};

struct SavePretrainedOptions {
  /// "50GB", "200MB", ... in decimal units, or a number of bytes.
  std::string max_shard_size = "50GB";
  std::string variant;
  /// True: the hub's names (an own tensor for each expert); false: the internal fused ones.
  bool save_original_format = true;
};

/// For a model that is made from a config.
struct FromConfigOptions {
  std::string dtype = "float32";  ///< of the weights: "float32", "bfloat16" or "float16"
  DeviceMap device_map;           ///< a device or a map; nothing is balanced
  std::string attn_implementation = "sdpa";
  std::uint64_t seed = 0;
  bool strict = false;
  int num_threads = 0;
};

// ---- Models -----------------------------------------------------------------------------------

/// The bare decoder. Copies share one model. One thread at a time.
class MiniMaxM2Model {
 public:
  /// Random weights: normal(0, initializer_range), norms 1, correction bias 0, the row of
  /// pad_token_id 0; keyed by seed and tensor name. Throws what MiniMaxM2Config::validate throws.
  explicit MiniMaxM2Model(const MiniMaxM2Config& config, const FromConfigOptions& options = {});

  /// `name` is a directory or a hub id ("MiniMaxAI/MiniMax-M2").
  /// Throws kNotFound, kCorruptFile, kUnsupported, kInvalidArgument; the message names the file.
  [[nodiscard]] static MiniMaxM2Model from_pretrained(const std::string& name,
                                                      const FromPretrainedOptions& options = {},
                                                      LoadingInfo* info = nullptr);

  [[nodiscard]] const MiniMaxM2Config& config() const;
  /// For changes that act from the next call on: num_hidden_layers (lowered: the first layers run),
  /// use_cache, output_hidden_states, output_attentions and output_router_logits.
  [[nodiscard]] MiniMaxM2Config& config();
  /// Throws kInvalidArgument for arguments that do not fit, with the reference's wording where it
  /// has one, and for arguments of the causal LM.
  MoeModelOutputWithPast forward(const ForwardInputs& inputs);
  void save_pretrained(const std::filesystem::path& directory,
                       const SavePretrainedOptions& options = {}) const;

  void train(bool mode = true);  ///< dropout and router jitter act, drawn from the seed
  void eval() { train(false); }
  [[nodiscard]] bool training() const;
  void manual_seed(std::uint64_t seed);

  /// Parameters that are not buffers, without those of a head of its own.
  [[nodiscard]] std::int64_t num_parameters() const;
  [[nodiscard]] const std::map<std::string, std::string>& device_map() const;

  struct Impl;

 private:
  friend class MiniMaxM2ForCausalLM;
  explicit MiniMaxM2Model(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

/// The decoder with its head. Copies share one model. One thread at a time.
class MiniMaxM2ForCausalLM {
 public:
  explicit MiniMaxM2ForCausalLM(const MiniMaxM2Config& config,
                                const FromConfigOptions& options = {});
  [[nodiscard]] static MiniMaxM2ForCausalLM from_pretrained(
      const std::string& name, const FromPretrainedOptions& options = {},
      LoadingInfo* info = nullptr);

  [[nodiscard]] const MiniMaxM2Config& config() const;
  [[nodiscard]] MiniMaxM2Config& config();  ///< as that of MiniMaxM2Model
  /// Of generation_config.json, else derived from config.json.
  [[nodiscard]] GenerationConfig& generation_config();
  [[nodiscard]] const GenerationConfig& generation_config() const;
  /// The decoder of this model: the same weights.
  [[nodiscard]] MiniMaxM2Model model() const;

  MoeCausalLMOutputWithPast forward(const ForwardInputs& inputs);

  /// docs/generation.md. `call` holds the keywords of the call, which win over generation_config().
  GenerateOutput generate(const GenerateInputs& inputs, const GenerationConfig& call = {},
                          const GenerateOptions& options = {});

  /// config.json, generation_config.json and the weights, as transformers writes and reads them.
  /// FP8 weights stay FP8. Files are complete or absent. Throws kInvalidArgument when `directory`
  /// is a file or cannot be written.
  void save_pretrained(const std::filesystem::path& directory,
                       const SavePretrainedOptions& options = {}) const;

  /// New vocabulary size (0: the present one), rounded up to a multiple of pad_to_multiple_of (0:
  /// not). New rows are drawn from the distribution of the old ones (mean_resizing) or as in a
  /// fresh model. Embedding and head get memory of their own, in their type. Returns the new size.
  std::int64_t resize_token_embeddings(std::int64_t new_num_tokens,
                                       std::int64_t pad_to_multiple_of = 0,
                                       bool mean_resizing = true, std::uint64_t seed = 0);

  void train(bool mode = true);
  void eval() { train(false); }
  [[nodiscard]] bool training() const;
  void manual_seed(std::uint64_t seed);

  /// Parameters that are not buffers; each shared tensor once.
  [[nodiscard]] std::int64_t num_parameters() const;
  [[nodiscard]] const std::map<std::string, std::string>& device_map() const;

  using Impl = MiniMaxM2Model::Impl;
  /// For the library itself.
  [[nodiscard]] Impl& impl() const { return *impl_; }

 private:
  explicit MiniMaxM2ForCausalLM(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

/// The model class of a directory's config.json: this library knows one.
using AutoModelForCausalLM = MiniMaxM2ForCausalLM;
using AutoModel = MiniMaxM2Model;

}  // namespace m2
