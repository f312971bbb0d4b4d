"""Every table of the .tflite format: its fields in the order of their slots, as NAME=TYPE.

Written by scripts/write_fields.py from ai-edge-litert 2.3.0. A type is a scalar, string, another table, a
[vector] of these, or <union>, whose own type number is the field before it. `-` is a slot that is no more in use.
A line that begins with spaces goes on from the one before.
"""

from __future__ import annotations

TABLES = """
ATan2Options:
AbsOptions:
AddNOptions:
AddOptions: fused_activation_function=int8 pot_scale_int_16=bool
ArgMaxOptions: output_type=int8
ArgMinOptions: output_type=int8
AssignVariableOptions:
BatchMatMulOptions: adj_x=bool adj_y=bool asymmetric_quantize_inputs=bool
BatchToSpaceNDOptions:
BidirectionalSequenceLSTMOptions: fused_activation_function=int8 cell_clip=float32 proj_clip=float32
    merge_outputs=bool time_major=bool asymmetric_quantize_inputs=bool
BidirectionalSequenceRNNOptions: time_major=bool fused_activation_function=int8 merge_outputs=bool
    asymmetric_quantize_inputs=bool
BitcastOptions:
BitwiseXorOptions:
BlockwiseQuantization: scales=int32 zero_points=int32 block_size=int32 block_shape=[int32]
BroadcastToOptions:
BucketizeOptions: boundaries=[float32]
Buffer: data=[uint8] offset=uint64 size=uint64
CallOnceOptions: init_subgraph_index=int32
CallOptions: subgraph=uint32
CastOptions: in_data_type=int8 out_data_type=int8
ConcatEmbeddingsOptions: num_channels=int32 num_columns_per_channel=[int32] embedding_dim_per_channel=[int32]
ConcatenationOptions: axis=int32 fused_activation_function=int8
Conv2DOptions: padding=int8 stride_w=int32 stride_h=int32 fused_activation_function=int8 dilation_wfactor=int32
    dilation_hfactor=int32 quantized_bias_type=int8
Conv3DOptions: padding=int8 stride_d=int32 stride_w=int32 stride_h=int32 fused_activation_function=int8
    dilation_dfactor=int32 dilation_wfactor=int32 dilation_hfactor=int32
CosOptions:
CumsumOptions: exclusive=bool reverse=bool
CustomQuantization: custom=[uint8]
DensifyOptions:
DepthToSpaceOptions: block_size=int32
DepthwiseConv2DOptions: padding=int8 stride_w=int32 stride_h=int32 depth_multiplier=int32
    fused_activation_function=int8 dilation_wfactor=int32 dilation_hfactor=int32
DequantizeOptions:
DilateOptions:
DimensionMetadata: format=int8 dense_size=int32 array_segments_type=uint8 array_segments=<SparseIndexVector>
    array_indices_type=uint8 array_indices=<SparseIndexVector>
DivOptions: fused_activation_function=int8
DynamicUpdateSliceOptions:
EmbeddingLookupSparseOptions: combiner=int8
EqualOptions:
ExpOptions:
ExpandDimsOptions:
ExternalBuffer: id=uint32 group=uint32 offset=uint64 - packing=string
ExternalBufferGroup: name=string
FakeQuantOptions: min=float32 max=float32 num_bits=int32 narrow_range=bool
FillOptions:
FloorDivOptions:
FloorModOptions:
FullyConnectedOptions: fused_activation_function=int8 weights_format=int8 keep_num_dims=bool
    asymmetric_quantize_inputs=bool quantized_bias_type=int8 quant_spec=[uint8]
GatherNdOptions:
GatherOptions: axis=int32 batch_dims=int32
GeluOptions: approximate=bool
GreaterEqualOptions:
GreaterOptions:
HardSwishOptions:
HashtableFindOptions:
HashtableImportOptions:
HashtableOptions: table_id=int32 key_dtype=int8 value_dtype=int8
HashtableSizeOptions:
IfOptions: then_subgraph_index=int32 else_subgraph_index=int32
Int32Vector: values=[int32]
L2NormOptions: fused_activation_function=int8
LSHProjectionOptions: type=int8
LSTMOptions: fused_activation_function=int8 cell_clip=float32 proj_clip=float32 kernel_type=int8
    asymmetric_quantize_inputs=bool
LeakyReluOptions: alpha=float32
LessEqualOptions:
LessOptions:
LocalResponseNormalizationOptions: radius=int32 bias=float32 alpha=float32 beta=float32
LogSoftmaxOptions:
LogicalAndOptions:
LogicalNotOptions:
LogicalOrOptions:
MatrixDiagOptions:
MatrixSetDiagOptions:
MaximumMinimumOptions:
Metadata: name=string buffer=uint32
MirrorPadOptions: mode=int8
Model: version=uint32 operator_codes=[OperatorCode] subgraphs=[SubGraph] description=string buffers=[Buffer]
    metadata_buffer=[int32] metadata=[Metadata] signature_defs=[SignatureDef]
    external_buffer_groups=[ExternalBufferGroup] external_buffers=[ExternalBuffer]
MulOptions: fused_activation_function=int8
MultiAxisQuantization: scales=int32 zero_points=int32 block_size=int32 quantized_dimensions=[int32]
NegOptions:
NonMaxSuppressionV4Options:
NonMaxSuppressionV5Options:
NotEqualOptions:
OneHotOptions: axis=int32
Operator: opcode_index=uint32 inputs=[int32] outputs=[int32] builtin_options_type=uint8
    builtin_options=<BuiltinOptions> custom_options=[uint8] custom_options_format=int8 mutating_variable_inputs=[bool]
    intermediates=[int32] large_custom_options_offset=uint64 large_custom_options_size=uint64
    builtin_options2_type=uint8 builtin_options_2=<BuiltinOptions2> debug_metadata_index=int32
OperatorCode: deprecated_builtin_code=int8 custom_code=string version=int32 builtin_code=int32
PackOptions: values_count=int32 axis=int32
PadOptions:
PadV2Options:
Pool2DOptions: padding=int8 stride_w=int32 stride_h=int32 filter_width=int32 filter_height=int32
    fused_activation_function=int8
PowOptions:
QuantizationParameters: min=[float32] max=[float32] scale=[float32] zero_point=[int64] details_type=uint8
    details=<QuantizationDetails> quantized_dimension=int32
QuantizeOptions:
RNNOptions: fused_activation_function=int8 asymmetric_quantize_inputs=bool
RandomOptions: seed=int64 seed_2=int64
RangeOptions:
RankOptions:
ReadVariableOptions:
ReduceWindowOptions: reduce_function=int32
ReducerOptions: keep_dims=bool
ReshapeOptions: new_shape=[int32]
ResizeBilinearOptions: - - align_corners=bool half_pixel_centers=bool
ResizeNearestNeighborOptions: align_corners=bool half_pixel_centers=bool
ReverseSequenceOptions: seq_dim=int32 batch_dim=int32
ReverseV2Options:
Rfft2dOptions:
RightShiftOptions:
SVDFOptions: rank=int32 fused_activation_function=int8 asymmetric_quantize_inputs=bool
ScatterNdOptions:
SegmentSumOptions:
SelectOptions:
SelectV2Options:
SequenceRNNOptions: time_major=bool fused_activation_function=int8 asymmetric_quantize_inputs=bool
ShapeOptions: out_type=int8
SignOptions:
SignatureDef: inputs=[TensorMap] outputs=[TensorMap] signature_key=string - subgraph_index=uint32
SkipGramOptions: ngram_size=int32 max_skip_size=int32 include_all_ngrams=bool
SliceOptions:
SoftmaxOptions: beta=float32
SpaceToBatchNDOptions:
SpaceToDepthOptions: block_size=int32
SparseToDenseOptions: validate_indices=bool
SparsityParameters: traversal_order=[int32] block_map=[int32] dim_metadata=[DimensionMetadata]
SplitOptions: num_splits=int32
SplitVOptions: num_splits=int32
SquareOptions:
SquaredDifferenceOptions:
SqueezeOptions: squeeze_dims=[int32]
StableHLOCompositeOptions: name=string decomposition_subgraph_index=int32 composite_attributes=[uint8]
    composite_attributes_format=int8 version=int32
StablehloBroadcastInDimOptions: broadcast_dimensions=[int64]
StablehloCaseOptions: branch_subgraph_indices=[int32]
StablehloCompareOptions: comparison_direction=uint32 compare_type=uint32
StablehloConcatenateOptions: dimension=int64
StablehloConvolutionOptions: window_strides=[int64] padding=[int64] lhs_dilation=[int64] rhs_dilation=[int64]
    window_reversal=[bool] input_batch_dimension=int64 input_feature_dimension=int64 input_spatial_dimensions=[int64]
    kernel_input_feature_dimension=int64 kernel_output_feature_dimension=int64 kernel_spatial_dimensions=[int64]
    output_batch_dimension=int64 output_feature_dimension=int64 output_spatial_dimensions=[int64]
    feature_group_count=int64 batch_group_count=int64 precision_config=[uint32]
StablehloCustomCallOptions: call_target_name=string has_side_effect=bool backend_config=string api_version=int32
    called_computations=[int32] custom_attributes=[uint8]
StablehloDotGeneralOptions: lhs_batching_dimensions=[int64] rhs_batching_dimensions=[int64]
    lhs_contracting_dimensions=[int64] rhs_contracting_dimensions=[int64] precision_config=[uint32]
StablehloDynamicSliceOptions: slice_sizes=[int64]
StablehloGatherOptions: offset_dims=[int64] collapsed_slice_dims=[int64] start_index_map=[int64]
    index_vector_dim=int64 slice_sizes=[int64] indices_are_sorted=bool
StablehloIotaOptions: iota_dimension=int64
StablehloPadOptions: edge_padding_low=[int64] edge_padding_high=[int64] interior_padding=[int64]
StablehloReduceOptions: dimensions=[int64] body_subgraph_index=int32
StablehloReduceWindowOptions: window_dimensions=[int64] window_strides=[int64] base_dilations=[int64]
    window_dilations=[int64] padding=[int64] body_subgraph_index=int32
StablehloRngBitGeneratorOptions: algorithm=int8
StablehloScatterOptions: indices_are_sorted=bool update_window_dims=[int64] inserted_window_dims=[int64]
    scatter_dims_to_operand_dims=[int64] index_vector_dim=int64 unique_indices=bool
    update_computation_subgraph_index=int32
StablehloShiftLeftOptions:
StablehloSliceOptions: start_indices=[int64] limit_indices=[int64] strides=[int64]
StablehloSortOptions: dimension=int64 is_stable=bool comparator_subgraph_index=int32
StablehloTransposeOptions: permutation=[int64]
StablehloWhileOptions: cond_subgraph_index=int32 body_subgraph_index=int32
StridedSliceOptions: begin_mask=int32 end_mask=int32 ellipsis_mask=int32 new_axis_mask=int32 shrink_axis_mask=int32
    offset=bool
SubGraph: tensors=[Tensor] inputs=[int32] outputs=[int32] operators=[Operator] name=string debug_metadata_index=int32
SubOptions: fused_activation_function=int8 pot_scale_int_16=bool
Tensor: shape=[int32] type=int8 buffer=uint32 name=string quantization=QuantizationParameters is_variable=bool
    sparsity=SparsityParameters shape_signature=[int32] has_rank=bool variant_tensors=[VariantSubType]
    external_buffer=uint32
TensorMap: name=string tensor_index=uint32
TileOptions:
TopKV2Options:
TransposeConvOptions: padding=int8 stride_w=int32 stride_h=int32 fused_activation_function=int8
    quantized_bias_type=int8
TransposeOptions:
Uint16Vector: values=[uint16]
Uint8Vector: values=[uint8]
UnidirectionalSequenceLSTMOptions: fused_activation_function=int8 cell_clip=float32 proj_clip=float32 time_major=bool
    asymmetric_quantize_inputs=bool diagonal_recurrent_tensors=bool
UniqueOptions: idx_out_type=int8
UnpackOptions: num=int32 axis=int32
UnsortedSegmentMaxOptions:
UnsortedSegmentMinOptions:
UnsortedSegmentProdOptions:
UnsortedSegmentSumOptions:
VarHandleOptions: container=string shared_name=string
VariantSubType: shape=[int32] type=int8 has_rank=bool
WhereOptions:
WhileOptions: cond_subgraph_index=int32 body_subgraph_index=int32
ZerosLikeOptions:
"""

UNIONS = """
BuiltinOptions: NONE Conv2DOptions DepthwiseConv2DOptions ConcatEmbeddingsOptions LSHProjectionOptions Pool2DOptions
    SVDFOptions RNNOptions FullyConnectedOptions SoftmaxOptions ConcatenationOptions AddOptions L2NormOptions
    LocalResponseNormalizationOptions LSTMOptions ResizeBilinearOptions CallOptions ReshapeOptions SkipGramOptions
    SpaceToDepthOptions EmbeddingLookupSparseOptions MulOptions PadOptions GatherOptions BatchToSpaceNDOptions
    SpaceToBatchNDOptions TransposeOptions ReducerOptions SubOptions DivOptions SqueezeOptions SequenceRNNOptions
    StridedSliceOptions ExpOptions TopKV2Options SplitOptions LogSoftmaxOptions CastOptions DequantizeOptions
    MaximumMinimumOptions ArgMaxOptions LessOptions NegOptions PadV2Options GreaterOptions GreaterEqualOptions
    LessEqualOptions SelectOptions SliceOptions TransposeConvOptions SparseToDenseOptions TileOptions
    ExpandDimsOptions EqualOptions NotEqualOptions ShapeOptions PowOptions ArgMinOptions FakeQuantOptions PackOptions
    LogicalOrOptions OneHotOptions LogicalAndOptions LogicalNotOptions UnpackOptions FloorDivOptions SquareOptions
    ZerosLikeOptions FillOptions BidirectionalSequenceLSTMOptions BidirectionalSequenceRNNOptions
    UnidirectionalSequenceLSTMOptions FloorModOptions RangeOptions ResizeNearestNeighborOptions LeakyReluOptions
    SquaredDifferenceOptions MirrorPadOptions AbsOptions SplitVOptions UniqueOptions ReverseV2Options AddNOptions
    GatherNdOptions CosOptions WhereOptions RankOptions ReverseSequenceOptions MatrixDiagOptions QuantizeOptions
    MatrixSetDiagOptions HardSwishOptions IfOptions WhileOptions DepthToSpaceOptions NonMaxSuppressionV4Options
    NonMaxSuppressionV5Options ScatterNdOptions SelectV2Options DensifyOptions SegmentSumOptions BatchMatMulOptions
    CumsumOptions CallOnceOptions BroadcastToOptions Rfft2dOptions Conv3DOptions HashtableOptions HashtableFindOptions
    HashtableImportOptions HashtableSizeOptions VarHandleOptions ReadVariableOptions AssignVariableOptions
    RandomOptions BucketizeOptions GeluOptions DynamicUpdateSliceOptions UnsortedSegmentProdOptions
    UnsortedSegmentMaxOptions UnsortedSegmentMinOptions UnsortedSegmentSumOptions ATan2Options SignOptions
    BitcastOptions BitwiseXorOptions RightShiftOptions
BuiltinOptions2: NONE StablehloConcatenateOptions StablehloBroadcastInDimOptions StablehloSliceOptions
    StablehloConvolutionOptions StablehloCustomCallOptions StablehloReduceOptions StablehloScatterOptions
    StablehloCompareOptions StablehloDynamicSliceOptions StablehloPadOptions StablehloIotaOptions
    StablehloDotGeneralOptions StablehloReduceWindowOptions StablehloSortOptions StablehloWhileOptions
    StablehloGatherOptions StablehloTransposeOptions DilateOptions StablehloRngBitGeneratorOptions ReduceWindowOptions
    StableHLOCompositeOptions StablehloShiftLeftOptions StablehloCaseOptions
QuantizationDetails: NONE CustomQuantization BlockwiseQuantization MultiAxisQuantization
SparseIndexVector: NONE Int32Vector Uint16Vector Uint8Vector
"""
