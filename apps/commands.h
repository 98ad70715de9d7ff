// The subcommands of m2; each adds itself to the command line.
#pragma once

namespace CLI {
class App;
}

namespace m2::app {

void add_chat_command(CLI::App& app);
void add_generate_command(CLI::App& app);
void add_inspect_command(CLI::App& app);
void add_tokenize_command(CLI::App& app);
void add_detokenize_command(CLI::App& app);
void add_template_command(CLI::App& app);
void add_parse_command(CLI::App& app);
void add_forward_command(CLI::App& app);
void add_quantize_command(CLI::App& app);
void add_perplexity_command(CLI::App& app);
void add_download_command(CLI::App& app);
void add_bench_command(CLI::App& app);

}  // namespace m2::app
