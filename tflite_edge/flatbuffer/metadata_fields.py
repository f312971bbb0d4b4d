"""Every table of TFLite's metadata, a flatbuffer of its own in a buffer of the model, written as fields.py is.

The members of a union, by number: ContentProperties 1 FeatureProperties, 2 ImageProperties, 3 BoundingBoxProperties, 4
AudioProperties; ProcessUnitOptions 1 NormalizationOptions, 2 ScoreCalibrationOptions, 3 ScoreThresholdingOptions, 4 to
6 tokenizers. Source: metadata_schema.fbs of tflite-support 0.4.4, which reads what is written with these.
"""

from __future__ import annotations

TABLES = """
AssociatedFile: name=string description=string type=int8 locale=string version=string
AudioProperties: sample_rate=uint32 channels=uint32
BertTokenizerOptions: vocab_file=[AssociatedFile]
BoundingBoxProperties: index=[uint32] type=int8 coordinate_type=int8
Content: content_properties_type=uint8 content_properties=<ContentProperties> range=ValueRange
CustomMetadata: name=string data=[uint8]
FeatureProperties:
ImageProperties: color_space=int8 default_size=ImageSize
ImageSize: width=uint32 height=uint32
ModelMetadata: name=string description=string version=string subgraph_metadata=[SubGraphMetadata] author=string
    license=string associated_files=[AssociatedFile] min_parser_version=string
NormalizationOptions: mean=[float32] std=[float32]
ProcessUnit: options_type=uint8 options=<ProcessUnitOptions>
RegexTokenizerOptions: delim_regex_pattern=string vocab_file=[AssociatedFile]
ScoreCalibrationOptions: score_transformation=int8 default_score=float32
ScoreThresholdingOptions: global_score_threshold=float32
SentencePieceTokenizerOptions: sentence_piece_model=[AssociatedFile] vocab_file=[AssociatedFile]
Stats: max=[float32] min=[float32]
SubGraphMetadata: name=string description=string input_tensor_metadata=[TensorMetadata]
    output_tensor_metadata=[TensorMetadata] associated_files=[AssociatedFile] input_process_units=[ProcessUnit]
    output_process_units=[ProcessUnit] input_tensor_groups=[TensorGroup] output_tensor_groups=[TensorGroup]
    custom_metadata=[CustomMetadata]
TensorGroup: name=string tensor_names=[string]
TensorMetadata: name=string description=string dimension_names=[string] content=Content process_units=[ProcessUnit]
    stats=Stats associated_files=[AssociatedFile]
ValueRange: min=int32 max=int32
"""
