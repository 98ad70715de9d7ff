// Chat templates in the metadata of GGUF files.
#pragma once

#include "chat/chat_template.h"
#include "gguf/metadata.h"
#include "gguf/writer.h"

namespace m2::chat {

/// Throws kNotFound when the file has none.
[[nodiscard]] TemplateSet read_gguf_templates(const GgufMetadata& metadata);

/// Sets `tokenizer.chat_template` to the default one, and further ones under their names.
void write_gguf_templates(const TemplateSet& templates, GgufWriter& writer);

}  // namespace m2::chat
