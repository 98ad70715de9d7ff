// The part of the output that the parser has not decided on yet.
#pragma once

#include <string>
#include <string_view>

namespace m2::chat {

class PendingText {
 public:
  void append(std::string_view text) {
    // Moving the rest only when it is the smaller part keeps the total cost linear.
    if (begin_ > data_.size() / 2) {
      data_.erase(0, begin_);
      begin_ = 0;
    }
    data_ += text;
  }

  [[nodiscard]] std::string_view view() const { return std::string_view(data_).substr(begin_); }
  [[nodiscard]] bool empty() const { return begin_ == data_.size(); }
  void consume(size_t length) { begin_ += length; }

 private:
  std::string data_;
  size_t begin_ = 0;
};

}  // namespace m2::chat
