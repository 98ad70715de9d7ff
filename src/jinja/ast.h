// The parsed template. Node places are byte offsets into the normalised source.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "jinja/builtins.h"
#include "jinja/value.h"

namespace m2::jinja {

/// A variable: `hops` functions outwards, then a slot of that function's activation. Filled in by
/// the scope analysis (scope.h).
struct SlotRef {
  uint32_t hops = 0;
  uint32_t index = 0;
};

enum class ExprKind : uint8_t {
  kConst,
  kName,
  kNamespaceRef,
  kList,
  kTuple,
  kDict,
  kUnary,
  kBinary,
  kCompare,
  kConcat,
  kConditional,
  kAttribute,
  kItem,
  kSlice,
  kCall,
  kFilter,
  kTest,
};

struct Expr {
  explicit Expr(ExprKind node_kind, uint32_t node_offset) : kind(node_kind), offset(node_offset) {}
  virtual ~Expr() = default;
  Expr(const Expr&) = delete;
  Expr& operator=(const Expr&) = delete;
  const ExprKind kind;
  const uint32_t offset;
  int depth = 1;  // nodes on the longest way down
};
using ExprPtr = std::unique_ptr<Expr>;

struct ConstExpr : Expr {
  ConstExpr(uint32_t at, Value constant) : Expr(ExprKind::kConst, at), value(std::move(constant)) {}
  Value value;
};

enum class NameUse : uint8_t { kLoad, kStore, kParameter };

struct NameExpr : Expr {
  NameExpr(uint32_t at, std::string text) : Expr(ExprKind::kName, at), name(std::move(text)) {}
  std::string name;
  NameUse use = NameUse::kLoad;
  SlotRef slot;
  bool exported = false;  // a store that template blocks see as well
};

/// `ns.attribute` as the target of a set.
struct NamespaceRefExpr : Expr {
  NamespaceRefExpr(uint32_t at, std::string text, std::string attr)
      : Expr(ExprKind::kNamespaceRef, at), name(std::move(text)), attribute(std::move(attr)) {}
  std::string name;
  std::string attribute;
  SlotRef slot;
};

struct SequenceExpr : Expr {  // list or tuple
  using Expr::Expr;
  std::vector<ExprPtr> items;
};

struct DictExpr : Expr {
  explicit DictExpr(uint32_t at) : Expr(ExprKind::kDict, at) {}
  std::vector<std::pair<ExprPtr, ExprPtr>> entries;
};

enum class UnaryOp : uint8_t { kNegate, kPlus, kNot };

struct UnaryExpr : Expr {
  UnaryExpr(uint32_t at, UnaryOp unary, ExprPtr value)
      : Expr(ExprKind::kUnary, at), op(unary), operand(std::move(value)) {}
  UnaryOp op;
  ExprPtr operand;
};

enum class BinaryOp : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kAnd,
  kOr,
};

struct BinaryExpr : Expr {
  BinaryExpr(uint32_t at, BinaryOp binary, ExprPtr lhs, ExprPtr rhs)
      : Expr(ExprKind::kBinary, at), op(binary), left(std::move(lhs)), right(std::move(rhs)) {}
  BinaryOp op;
  ExprPtr left, right;
};

enum class CompareOp : uint8_t {
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

struct CompareExpr : Expr {
  explicit CompareExpr(uint32_t at) : Expr(ExprKind::kCompare, at) {}
  ExprPtr first;
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
};

struct ConcatExpr : Expr {
  explicit ConcatExpr(uint32_t at) : Expr(ExprKind::kConcat, at) {}
  std::vector<ExprPtr> parts;
};

struct ConditionalExpr : Expr {
  explicit ConditionalExpr(uint32_t at) : Expr(ExprKind::kConditional, at) {}
  ExprPtr test, then, otherwise;  // otherwise may be null
};

struct AttributeExpr : Expr {
  AttributeExpr(uint32_t at, ExprPtr value, std::string attr)
      : Expr(ExprKind::kAttribute, at), object(std::move(value)), attribute(std::move(attr)) {}
  ExprPtr object;
  std::string attribute;
};

struct ItemExpr : Expr {
  ItemExpr(uint32_t at, ExprPtr value, ExprPtr key)
      : Expr(ExprKind::kItem, at), object(std::move(value)), index(std::move(key)) {}
  ExprPtr object, index;
};

struct SliceExpr : Expr {  // only as the index of an item
  explicit SliceExpr(uint32_t at) : Expr(ExprKind::kSlice, at) {}
  ExprPtr start, stop, step;  // each may be null
};

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<Str, ExprPtr>> keyword;
  ExprPtr star, double_star;  // may be null
};

struct CallExpr : Expr {
  CallExpr(uint32_t at, ExprPtr function, CallArguments args)
      : Expr(ExprKind::kCall, at), callee(std::move(function)), arguments(std::move(args)) {}
  ExprPtr callee;
  CallArguments arguments;
};

/// A filter or a test applied to an operand.
struct AppliedExpr : Expr {
  using Expr::Expr;
  // Found by the scope analysis; null: unknown, which is an error when it is used.
  FilterFunction filter = nullptr;
  TestFunction test = nullptr;
  ExprPtr operand;  // null: the text of a filter block
  std::string name;
  CallArguments arguments;
};

enum class StmtKind : uint8_t {
  kOutput,
  kIf,
  kFor,
  kMacro,
  kCallBlock,
  kFilterBlock,
  kSet,
  kSetBlock,
  kWith,
  kScope,
  kBlock,
  kGeneration,
  kBreak,
  kContinue,
};

struct Stmt {
  explicit Stmt(StmtKind node_kind, uint32_t node_offset) : kind(node_kind), offset(node_offset) {}
  virtual ~Stmt() = default;
  Stmt(const Stmt&) = delete;
  Stmt& operator=(const Stmt&) = delete;
  const StmtKind kind;
  const uint32_t offset;
};
using StmtPtr = std::unique_ptr<Stmt>;
using Body = std::vector<StmtPtr>;

/// What a frame does with one of its variables when it is entered.
struct FrameLoad {
  enum class Action : uint8_t { kParameter, kResolve, kAlias, kUndefined };
  Action action;
  uint32_t slot;
  SlotRef source;    // kAlias
  std::string name;  // kResolve: a variable of the context
};

/// A scope inside a function. Leaving it empties the slots that it loads.
struct FrameInfo {
  std::vector<FrameLoad> loads;
};

/// A body with variables of its own: the template, macros, recursive loops, loop filters, blocks.
struct FunctionInfo {
  uint32_t num_slots = 0;
};

struct OutputStmt : Stmt {
  explicit OutputStmt(uint32_t at) : Stmt(StmtKind::kOutput, at) {}
  std::vector<ExprPtr> parts;
};

struct IfStmt : Stmt {
  explicit IfStmt(uint32_t at) : Stmt(StmtKind::kIf, at) {}
  struct Branch {
    ExprPtr test;
    Body body;
  };
  std::vector<Branch> branches;  // if and the elifs
  Body otherwise;
};

struct ForStmt : Stmt {
  explicit ForStmt(uint32_t at) : Stmt(StmtKind::kFor, at) {}
  ExprPtr target, iterable, test;  // test may be null
  Body body, otherwise;
  bool recursive = false;

  bool uses_loop = false;
  uint32_t loop_slot = 0;
  FrameInfo frame, otherwise_frame;
  FunctionInfo function;  // of a recursive loop
  // The filter runs as a function of its own, with targets of its own.
  FunctionInfo filter_function;
  FrameInfo filter_frame;
  ExprPtr filter_target;
};

/// What macros, call blocks and generation blocks share.
struct MacroBody {
  std::vector<std::unique_ptr<NameExpr>> parameters;
  std::vector<ExprPtr> defaults;  // of the last parameters
  Body body;

  FunctionInfo function;
  FrameInfo frame;
  bool uses_caller = false, uses_kwargs = false, uses_varargs = false;
  uint32_t caller_slot = 0, kwargs_slot = 0, varargs_slot = 0;
};

struct MacroStmt : Stmt {
  explicit MacroStmt(uint32_t at) : Stmt(StmtKind::kMacro, at) {}
  std::string name;
  MacroBody macro;
  uint32_t slot = 0;
  bool exported = false;
};

struct CallBlockStmt : Stmt {
  explicit CallBlockStmt(uint32_t at) : Stmt(StmtKind::kCallBlock, at) {}
  ExprPtr call;
  MacroBody macro;
};

struct GenerationStmt : Stmt {
  explicit GenerationStmt(uint32_t at) : Stmt(StmtKind::kGeneration, at) {}
  MacroBody macro;
};

struct FilterBlockStmt : Stmt {
  explicit FilterBlockStmt(uint32_t at) : Stmt(StmtKind::kFilterBlock, at) {}
  ExprPtr filter;  // a chain of filters; the innermost has no operand
  Body body;
  FrameInfo frame;
};

struct SetStmt : Stmt {
  explicit SetStmt(uint32_t at) : Stmt(StmtKind::kSet, at) {}
  ExprPtr target, value;
  std::vector<const NamespaceRefExpr*> namespace_refs;
};

struct SetBlockStmt : Stmt {
  explicit SetBlockStmt(uint32_t at) : Stmt(StmtKind::kSetBlock, at) {}
  ExprPtr target, filter;  // filter may be null
  Body body;
  FrameInfo frame;
};

struct WithStmt : Stmt {
  explicit WithStmt(uint32_t at) : Stmt(StmtKind::kWith, at) {}
  std::vector<ExprPtr> targets, values;
  Body body;
  FrameInfo frame;
};

/// {% autoescape false %}: nothing but a scope.
struct ScopeStmt : Stmt {
  explicit ScopeStmt(uint32_t at) : Stmt(StmtKind::kScope, at) {}
  Body body;
  FrameInfo frame;
};

struct BlockStmt : Stmt {
  explicit BlockStmt(uint32_t at) : Stmt(StmtKind::kBlock, at) {}
  std::string name;
  bool scoped = false, required = false;
  Body body;
  FunctionInfo function;
  FrameInfo frame;
  // A scoped block sees these variables of the place where it stands.
  std::vector<std::pair<std::string, SlotRef>> visible;
};

struct Ast {
  std::string source;  // normalised newlines
  Body body;
  FunctionInfo function;
  FrameInfo frame;
};

}  // namespace m2::jinja
